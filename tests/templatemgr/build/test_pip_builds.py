"""Test versions of a pip template: build, update, edit and compare them."""

import threading
from pathlib import Path

import pytest
from django.conf import settings

from templatemgr import catalog, data_paths
from templatemgr.build import builds, lookups
from templatemgr.builders.pip import pip_report
from templatemgr.errors import InvalidOptionsError
from templatemgr.models import Version
from templatemgr.promotion import comparison
from tests.templatemgr.builders.test_pip import make_wheel
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import DEFINITION, write_definition

CHANGES = {
    '"npm"': '"pip"',
    '"tiny"': '"snake"',
    'links = ["node_modules"]': "links = []",
    '"package.json", "package-lock.json"': '"requirements.in", "requirements.lock"',
    '"node_modules/is-number/LICENSE"': "",
    '"bin/number.js" = "node_modules/is-number/index.js"': "",
}


@pytest.fixture
def snake(data_dir: Path, committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a template of two wheels, of which `tool` needs `base`; both have a newer version."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for folder in (tmp_path, wheels):
        folder.chmod(0o755)  # under root, the cage has another user
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "tool", version, needs="base")
        make_wheel(wheels, "base", version)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(wheels / "pip.conf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(pip_report, "MACHINES", ())  # test_pip.py tests locks for other machines
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    text = DEFINITION
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    folder = write_definition(
        Path(settings.STENCIL_DEFINITIONS) / "snake",
        **{"template.toml": text, "requirements.in": "tool<2\n", "requirements.lock": ""},
    )
    (folder / "package.json").unlink()
    (folder / "package-lock.json").unlink()
    catalog.sync_definitions()
    return "snake"


def made(**values: object) -> Version:
    build = run_build("snake", **values)
    assert build.version is not None, build.message
    return build.version


def test_a_lookup_of_a_version_uses_its_own_lock(snake: str) -> None:
    made(kind="refresh")
    asked = lookups.request(template=snake, from_version=1, actor="ada")
    claimed = lookups.claim(worker="here")
    assert claimed is not None
    done = lookups.run(lookup=claimed, cancel=threading.Event())
    assert (done.pk, done.state, done.message) == (asked.pk, "done", "")
    base, tool = lookups.answered(done)
    assert (base.installed, base.wanted, base.latest, base.direct) == ("2.0", "2.0", "2.0", False)
    assert (tool.installed, tool.wanted, tool.latest, tool.direct) == ("1.0", "1.0", "2.0", True)


def test_update_edit_and_compare(snake: str) -> None:
    first = made(kind="refresh")
    assert versions(first) == {"base": "2.0", "tool": "1.0"}
    edited = made(kind="edit", from_version=1, files={"requirements.in": "tool>=2\n"})
    assert versions(edited) == {"base": "2.0", "tool": "2.0"}
    back = made(kind="update", from_version=2, packages=["base@1.0"])
    assert versions(back) == {"base": "1.0", "tool": "2.0"}
    kept = (data_paths.version(back) / "inputs/requirements.in").read_text()
    assert kept == "tool>=2\nbase==1.0\n"

    found = comparison.compare(template=snake, old=1, new=2)
    [moved] = found.packages
    assert (moved.name, moved.before, moved.after) == ("tool", ("1.0",), ("2.0",))
    assert (moved.distance, moved.direct, moved.chain) == ("major", True, ("tool",))
    assert [text.path for text in found.texts] == ["requirements.in"]
    reverse = comparison.compare(template=snake, old=2, new=3).packages[0]
    assert (reverse.name, reverse.down) == ("base", True)
    assert "requirements.lock" not in "\n".join(comparison.to_text(found)).partition("Files:")[0]


def versions(version: Version) -> dict[str, str]:
    """Return the packages of a version without the interpreter."""
    assert version.packages[1]["name"] == "python"
    return {row["name"]: row["version"] for row in version.packages if row["name"] != "python"}


@pytest.mark.parametrize("package", ["tool@1.*", "tool==1.0", "--pre", "@scope/tool", "tool@^1"])
def test_an_update_to_an_invalid_name_or_version_is_refused_when_requested(
    snake: str, package: str
) -> None:
    with pytest.raises(InvalidOptionsError, match="is not a package"):
        builds.request(template=snake, kind="update", actor="ann", packages=[package])
