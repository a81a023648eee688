"""The difference of two versions in the shape of the HTTP contract."""

from collections.abc import Mapping
from typing import Any

from templatemgr.difference import Difference
from templatemgr.promotion import comparison


def present_difference(found: Difference) -> dict[str, Any]:
    """Return a difference: packages, files, sizes, configuration."""
    data = comparison.to_data(found)
    packages: list[dict[str, Any]] = data["packages"]
    files = data["files"]
    return {
        "before": data["before"],
        "after": data["after"],
        "packages": {
            what: [_without(package, "what") for package in packages if package["what"] == what]
            for what in ("added", "removed", "changed")
        },
        "programs": data["programs"],
        "install_scripts": data["scripts"],
        "licences": data["licences"],
        "origins": data["origins"],
        "deprecations": data["deprecations"],
        "files": {
            "added": files["added"],
            "removed": files["removed"],
            "changed": files["changed"],
            "items": files["shown"],
            "left_out": files["left_out"],
        },
        "size_bytes": {"before": files["size_before"], "after": files["size_after"]},
        "configuration": [
            {**_without(text, "lines"), "diff": "\n".join(text["lines"])} for text in data["texts"]
        ],
        "configuration_left_out": data["texts_left_out"],
    }


def _without(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != key}
