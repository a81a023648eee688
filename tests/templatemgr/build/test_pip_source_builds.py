"""Test whole builds of templates with packages that are built from source."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from templatemgr import catalog, data_paths, store
from templatemgr.builders.pip import pip_report
from templatemgr.models import Version
from templatemgr.promotion import comparison
from tests.templatemgr.build.test_pip_builds import CHANGES
from tests.templatemgr.build.test_reproducibility import build_elsewhere
from tests.templatemgr.builders import sdists
from tests.templatemgr.builders.test_pip import make_wheel
from tests.templatemgr.conftest import log_text, run_build
from tests.tiny_definition import DEFINITION, write_definition

PROJECT = '[project]\nname = "thing"\nversion = "1.0"\ndescription = "small"\n'
SETUPTOOLS = (
    '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
)
FLIT = '[build-system]\nrequires = ["flit_core>=3.11,<5"]\nbuild-backend = "flit_core.buildapi"\n'
MODULE = '"""A small thing."""\n\nVERSION = "1.0"\n'
EXTENSION = (
    "from setuptools import Extension, setup\nsetup(ext_modules=[Extension('fast', ['fast.c'])])\n"
)
BACKENDS = {
    "setuptools": {"pyproject.toml": SETUPTOOLS + PROJECT, "thing.py": MODULE},
    "flit": {"pyproject.toml": FLIT + PROJECT, "thing.py": MODULE},
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of packages that pip uses besides the index of this machine."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for path in (tmp_path, folder):
        path.chmod(0o755)  # under root, the cage has another user
    others = os.environ.get("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{folder} {others}".strip())
    monkeypatch.setattr(pip_report, "MACHINES", ())  # test_pip.py tests locks for other machines
    return folder


def define(*names: str, wanted: str) -> Path:
    """Write a template with these requirements; `names` are its `install_scripts`."""
    text = DEFINITION
    for old, new in CHANGES.items():
        text = text.replace(old, new)
    listed = ", ".join(f'"{name}"' for name in names)
    text = text.replace("install_scripts = []", f"install_scripts = [{listed}]")
    folder = write_definition(
        Path(settings.STENCIL_DEFINITIONS) / "snake",
        **{"template.toml": text, "requirements.in": wanted, "requirements.lock": ""},
    )
    for name in ("package.json", "package-lock.json"):
        (folder / name).unlink(missing_ok=True)
    catalog.sync_definitions()
    return folder


def made(**values: object) -> Version:
    build = run_build("snake", **values)
    assert build.version is not None, build.message
    return build.version


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_build_with_a_backend_of_the_index_is_reproducible(
    data_dir: Path, committed: None, packages: Path, tmp_path: Path, backend: str
) -> None:
    sdists.pack(packages, "thing", "1.0", BACKENDS[backend])
    folder = define("thing", wanted="thing==1.0\n")
    here = made(kind="refresh")
    module = next(data_paths.version(here).glob("tree/lib/python3.*/site-packages/thing.py"))
    assert module.read_text() == MODULE
    store.copy_files(data_paths.version(here) / "inputs", folder, ["requirements.lock"])
    _, identity, tree = build_elsewhere("snake", folder, tmp_path / "elsewhere")
    assert tree == here.tree_digest
    again = run_build("snake", from_version=1)
    assert (again.state, again.reproduces) == ("reproduced", here)
    assert identity == here.identity


def test_an_extension_in_c_fails_because_there_is_no_compiler(
    data_dir: Path, committed: None, packages: Path
) -> None:
    files = {
        "pyproject.toml": SETUPTOOLS + PROJECT,
        "setup.py": EXTENSION,
        "fast.c": "#include <Python.h>\n",
    }
    sdists.pack(packages, "thing", "1.0", files)
    define("thing", wanted="thing==1.0\n")
    build = run_build("snake", kind="refresh")
    assert build.state == "failed"
    assert "there is no compiler in a build" in build.message


def test_pages_and_comparison_show_added_changed_and_removed_sources(
    data_dir: Path, committed: None, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    make_wheel(packages, "tool", "1.0")
    for version in ("1.0", "2.0"):
        sdists.make(packages, "thing", version, needs=("tool",))
    define(wanted="tool\n")
    made(kind="refresh")
    toml = (data_paths.version(Version.objects.get()) / "inputs/template.toml").read_text()
    files = {
        "requirements.in": "thing==1.0\n",
        "template.toml": toml.replace("install_scripts = []", 'install_scripts = ["thing"]'),
    }
    added = run_build("snake", kind="edit", from_version=1, files=files)
    assert added.version is not None, added.message
    assert "installing Building thing 1.0 from its source distribution" in log_text(added)
    rows = {row["name"]: row["built"] for row in added.version.packages}
    assert rows == {"python": False, "thing": True, "tool": False}
    moved = made(kind="update", from_version=2, packages=["thing@2.0"])
    text = "\n".join(comparison.to_text(comparison.compare(template="snake", old=1, new=2)))
    assert "Newly built from source:\n  thing 1.0 (for the first time)" in text
    [script] = comparison.compare(template="snake", old=2, new=3).scripts
    assert (script.name, script.version, script.known, script.built) == ("thing", "2.0", True, True)
    assert (data_paths.version(moved) / "inputs/requirements.in").read_text() == "thing==2.0\n"
    assert "direct, built from source" in page("/templates/snake/versions/2")
    assert "built from source" not in page("/templates/snake/versions/1")
    assert "no earlier version was built from source; its code" in page(
        "/templates/snake/compare/1/2"
    )
    assert "an earlier version was built from source, too" in page("/templates/snake/compare/2/3")
    log = page(f"/builds/{added.pk}")
    assert "Building thing 1.0 from its source distribution, without a network." in log


def page(path: str) -> str:
    """Return the dashboard's page at `path`."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    client = Client()
    user, _ = User.objects.get_or_create(username="ada", is_superuser=True)
    client.force_login(user)
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_a_failed_build_leaves_no_partial_files(
    data_dir: Path, committed: None, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    words = "print('half'); open('/build/half', 'w').write('x'); raise SystemExit('no more')"
    sdists.make(packages, "thing", "1.0", before=words)
    define("thing", wanted="thing==1.0\n")
    build = run_build("snake", kind="refresh")
    assert (build.state, build.version) == ("failed", None)
    assert "no more" in build.message
    assert "Building thing 1.0" in log_text(build)
    left = [path for path in data_dir.rglob("*") if path.name in ("half", "building", "sources")]
    assert left == []
    assert not list((data_dir / "templates").glob("*/staging/*"))
