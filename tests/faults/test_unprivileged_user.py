"""Run the tests of damage as an ordinary user, who cannot read a folder of mode 000."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.damage import BY_NAME
from tests.faults.test_damage import POSSIBLE

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = [
    "folder mode 000", "root mode 000", "home mode 000", "file mode 000", "objects mode 000",
    "all objects mode 000", "templates mode 000", "versions mode 000",
    "store.lock mode 000, missing file", "cache byte, refills mode 000",
    "added folder that is closed", "missing folder", "link to a folder copied as by cp -rL",
    "tree is a link to a copy", "home is a file", "manifest flip", "setuid", "inputs missing",
    "file is a foreign hard link", "access list",
]  # fmt: skip


def test_the_chosen_are_kinds() -> None:
    assert set(CHOSEN) <= set(BY_NAME)


def test_an_ordinary_user_is_served_and_healed_as_root_is() -> None:
    if os.geteuid() != 0:  # then test_damage is that test, and this one would be it again
        assert POSSIBLE
        return
    names = BY_NAME if os.environ.get("STENCIL_FAULTS") == "all" else CHOSEN
    test = "tests/faults/test_damage.py::test_damage_is_found_reported_and_repaired"
    wanted = [f"{test}[{name}]" for name in names if not BY_NAME[name].root]
    home = tempfile.mkdtemp(prefix="stencil-user-")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.run_as_user", home, *wanted],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(wanted)} passed" in done.stdout
