"""Test that the same inputs make the same version for every user, place and time."""

import os
import subprocess
import sys
from pathlib import Path

from pytest_django import Settings

from templatemgr import catalog
from templatemgr.definitions import source_files
from tests.templatemgr.conftest import run_build

ROOT = Path(__file__).resolve().parents[3]
DEFINITIONS = ROOT / "templates_runtime"
LONG_AGO = 915_148_800  # a time in 1999


def build_elsewhere(name: str, definition: Path, place: Path) -> list[str]:
    """Copy a definition and build it as user 12345, in another time zone, with other times.

    The copy holds the files of its included folders, as a version's inputs do.
    """
    copied = place / "definitions" / name
    for path, source in source_files.locate(definition).items():
        target = copied / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(0o700 if source.stat().st_mode & 0o100 else 0o600)
        os.utime(target, (LONG_AGO, LONG_AGO))
    data = place / "a much longer way" / "to the data"
    data.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.templatemgr.build.build_as_user", name, "12345"],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "webui.settings",
            "STENCIL_DATA": str(data),
            "STENCIL_DEFINITIONS": str(copied.parent),
            "TZ": "Pacific/Chatham",
            "LANG": "C",
            "PYTHONHASHSEED": "4711",
            "SOURCE_DATE_EPOCH": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.split()


def test_another_user_place_time_zone_umask_and_number_of_cores_make_no_difference(
    tiny: Path, tmp_path: Path
) -> None:
    here = run_build().version
    assert here is not None
    user, identity, tree = build_elsewhere("tiny", tiny, tmp_path / "elsewhere")
    assert user == "12345"
    assert (identity, tree) == (here.identity, here.tree_digest)


def test_they_make_no_difference_for_a_python_with_compiled_modules(
    data_dir: Path, committed: None, settings: Settings, tmp_path: Path
) -> None:
    settings.STENCIL_DEFINITIONS = DEFINITIONS
    catalog.sync_definitions()
    build = run_build("python")
    here = build.version
    assert here is not None, build.message
    _, identity, tree = build_elsewhere("python", DEFINITIONS / "python", tmp_path / "elsewhere")
    assert (identity, tree) == (here.identity, here.tree_digest)
