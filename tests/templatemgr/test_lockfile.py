import json

import pytest

from templatemgr import lockfile
from templatemgr.lockfile import LockfileError, Package

LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {
            "dependencies": {"vite": "8", "alias": "npm:real@1"},
            "optionalDependencies": {"n": "1"},
        },
        "node_modules/vite": {"version": "8.3.8"},
        "node_modules/vite/node_modules/n": {"version": "2.0.0"},
        "node_modules/@types/node": {"version": "24.0.0"},
        "node_modules/alias": {"version": "1.0.0", "name": "real"},
        "node_modules/n": {"version": "1.0.0", "optional": True},
        "node_modules/local": {"link": True, "resolved": "packages/local"},
        "packages/local": {"version": "0.0.1"},
    },
}


def test_packages_are_listed_and_direct_ones_are_marked() -> None:
    found = lockfile.packages(json.dumps(LOCK).encode(), lambda _path: True)
    assert found == [
        Package(name="@types/node", version="24.0.0", direct=False),
        Package(name="n", version="1.0.0", direct=True),
        Package(name="n", version="2.0.0", direct=False),
        Package(name="real", version="1.0.0", direct=True),
        Package(name="vite", version="8.3.8", direct=True),
    ]


def test_locked_packages_that_are_not_installed_are_left_out() -> None:
    found = lockfile.packages(json.dumps(LOCK).encode(), lambda path: path == "node_modules/vite")
    assert [package.name for package in found] == ["vite"]


@pytest.mark.parametrize("lock", [b"{", b"{}", b"[]", b'{"packages": {"": 1}}', b'{"packages": 1}'])
def test_a_malformed_lockfile_is_refused(lock: bytes) -> None:
    with pytest.raises(LockfileError):
        lockfile.packages(lock, lambda _path: True)
