"""Test packages that are built from source: real pip in the real cage."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from templatemgr import store
from templatemgr.builders import interpreter, registry
from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_builder, pip_report, source_cage
from templatemgr.errors import BuildError
from templatemgr.trees import manifests
from tests.templatemgr.builders import sdists
from tests.templatemgr.builders.test_pip import make_job, make_wheel

INJECTED = "tool; python_version > '1\n --extra-index-url=https://host.invalid'"
ESCAPE = "import pathlib; pathlib.Path({0!r}).write_text('x')"
RELINK = "import os; os.rename({0}, '/build/moved'); os.symlink({1!r}, {0})"
CONNECT = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=5)"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make `thing`: it needs `base<2`, and is built with `tool` and, for its backend, `late`."""
    folder = tmp_path_factory.mktemp("index")
    folder.chmod(0o755)  # under root, the cage has another user
    for name, version in (("base", "1.0"), ("base", "2.0"), ("tool", "1.0"), ("late", "3.0")):
        make_wheel(folder, name, version)
    make_wheel(folder, "app", "1.0", needs="thing>=1")
    make_wheel(folder, "extra", "1.0")
    for version in ("1.2", "1.3"):
        sdists.make(
            folder, "thing", version, requires=("tool>=1",), late=("late",),
            needs=("base<2", "extra; extra == 'fast'", "nobody; python_version < '3'"),
        )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", str(folder / "pip.conf"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
            patch.delenv(name, raising=False)
        patch.setattr(pip_report, "MACHINES", ())  # test_pip.py tests locks for other machines
        yield folder


def defined(job: Job, *names: str, wanted: str) -> Job:
    """Give the job these names in `install_scripts`, and this requirements.in."""
    (job.tree / "requirements.in").write_text(wanted)
    (job.tree / "requirements.lock").unlink(missing_ok=True)
    definition = SimpleNamespace(**{**vars(job.definition), "install_scripts": names})
    object.__setattr__(job, "definition", cast("Any", definition))
    return job


@pytest.fixture(scope="module")
def workspace(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Make a workspace with the interpreter in its tree, shared by all tests that only resolve."""
    job = make_job(tmp_path_factory.mktemp("workspace") / "work")
    yield job
    store.remove(job.workspace)


@pytest.fixture
def said(workspace: Job) -> list[str]:
    """Return the list that collects the log lines of this test."""
    lines: list[str] = []
    object.__setattr__(workspace, "log", lambda _stream, text: lines.append(text))
    return lines


@pytest.fixture
def job(workspace: Job, said: list[str]) -> Job:
    """Give the workspace, whose definition names `thing` and requires it."""
    return defined(workspace, "Thing", wanted="thing[fast]==1.2\n")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock_of(job: Job) -> str:
    return (job.tree / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def built(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Run a whole build from the ranges."""
    job = make_job(tmp_path_factory.mktemp("first") / "work")
    defined(job, "thing", wanted="app\nthing[fast]==1.2\n")
    pip_builder.relock(job)
    pip_builder.fetch(job)
    pip_builder.install(job)
    yield job
    store.remove(job.workspace)


def test_the_lock_has_the_source_and_its_build_requirements(built: Job, index: Path) -> None:
    hashes = {
        name: f"--hash=sha256:{sha256(index / file)}"
        for name, file in {
            "app": "app-1.0-py3-none-any.whl",
            "base": "base-1.0-py3-none-any.whl",
            "extra": "extra-1.0-py3-none-any.whl",
            "late": "late-3.0-py3-none-any.whl",
            "thing": "thing-1.2.tar.gz",
            "tool": "tool-1.0-py3-none-any.whl",
        }.items()
    }
    assert lock_of(built).replace(" \\\n    ", " ").splitlines() == [
        "--no-binary thing",
        f"app==1.0 {hashes['app']}",
        f"base==1.0 {hashes['base']}",
        f"extra==1.0 {hashes['extra']}",
        f"thing==1.2 {hashes['thing']}",
        f'late==3.0 ; extra == "build-of-thing" {hashes["late"]}',
        f'tool==1.0 ; extra == "build-of-thing" {hashes["tool"]}',
        'base<2 ; extra == "needs-of-thing"',
        'extra ; (extra == "fast") and extra == "needs-of-thing"',
        'nobody ; (python_version < "3") and extra == "needs-of-thing"',
    ]


def test_a_built_package_is_installed_and_listed_as_built(built: Job) -> None:
    assert (built.tree / interpreter.SITE / "thing.py").read_text() == "VERSION = '1.2'\n"
    found = {package.name: package for package in pip_builder.packages(built.tree)}
    assert sorted(found) == ["app", "base", "extra", "python", "thing"]
    assert [name for name, package in found.items() if package.built] == ["thing"]
    assert found["base"].chain == ("thing", "base")


def test_a_lock_alone_gives_the_same_bytes_elsewhere(
    built: Job, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    job = make_job(tmp_path / "second" / "work", install_scripts=("thing",))
    store.copy_files(built.tree, job.tree, ["requirements.in", "requirements.lock"])
    pip_builder.fetch(job)
    pip_builder.install(job)
    assert manifests.scan(job.tree).digest() == manifests.scan(built.tree).digest()


def test_moving_one_package_does_not_build_another_again(job: Job, said: list[str]) -> None:
    defined(job, "thing", wanted="thing==1.2\ntool\n")
    pip_builder.relock(job)
    assert [line for line in said if line.startswith("Building")]
    (job.tree / "requirements.in").write_text("thing==1.2\n")
    before = lock_of(job)
    said.clear()
    pip_builder.align(job)
    pip_builder.update(job, ["base"])
    assert not [line for line in said if line.startswith("Building")]
    assert lock_of(job) == re.sub(r"(?m)^tool==1.0 \\\n.*\n", "", before)
    pip_builder.update(job, ["thing@1.3"])
    assert [line.split()[2] for line in said if line.startswith("Building")] == ["1.3"]
    assert "thing==1.3 " in lock_of(job)
    assert (job.tree / "requirements.in").read_text() == "thing==1.3\n"


def test_a_lookup_does_not_build(job: Job, said: list[str]) -> None:
    defined(job, "thing", wanted="thing==1.2\n")
    pip_builder.relock(job)
    said.clear()
    finder = registry.update_finder("pip")
    assert finder is not None
    found = [(c.name, c.installed, c.wanted, c.latest, c.direct) for c in finder.outdated(job)]
    assert found == [("base", "1.0", "1.0", "2.0", False), ("thing", "1.2", "1.2", "1.3", True)]
    assert not [line for line in said if "build_source" in line]


def test_an_unlisted_source_package_is_refused_with_the_lines_to_write(
    job: Job, said: list[str]
) -> None:
    defined(job, wanted="thing>=1.3\n")
    with pytest.raises(BuildError) as caught:
        pip_builder.relock(job)
    assert caught.value.message == "thing 1.3 is in the index as a source distribution only."
    assert caught.value.remedy == (
        'To let it be built here, without a network, write `install_scripts = ["thing"]` in '
        "template.toml and `thing==1.3` in requirements.in."
    )
    defined(job, "other", wanted="app\n")  # another package requires it
    (job.tree / "requirements.in").write_text("other==1\napp\n")
    defined(job, wanted="app\n")
    with pytest.raises(BuildError, match=r"thing 1\.3 is in the index as a source"):
        pip_builder.relock(job)
    assert not [line for line in said if "build_source" in line]


def test_a_missing_package_is_reported_in_the_words_of_pip(job: Job) -> None:
    with pytest.raises(BuildError, match="No matching distribution found for nobody"):
        pip_builder.relock(defined(job, wanted="nobody\n"))


@pytest.mark.parametrize(
    ("names", "wanted", "message", "remedy"),
    [
        (["base"], "tool\n", "install_scripts: requirements.in does not ask for base", "base=="),
        (["thing"], "thing==1.2; python_version < '3'\n", "does not ask for thing", "thing=="),
        (["thing"], "thing>=1.2\n", r"thing>=1.2: .* needs one exact version", "thing=="),
        (["thing"], "thing==1.*\n", "needs one exact version", "thing=="),
        (["thing"], "thing==1.2,<2\n", "needs one exact version", "thing=="),
        (["thing"], "thing @ file:///x.tar.gz\n", "needs one exact version", "thing=="),
        (["thing"], "thing==9\n", "no source distribution (.*) of thing 9", "its wheel is taken"),
        (["base"], "base==1.0\n", "no source distribution (.*) of base 1.0", "its wheel is taken"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_field_and_remedy(
    job: Job, names: list[str], wanted: str, message: str, remedy: str
) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        pip_builder.relock(defined(job, *names, wanted=wanted))
    assert remedy in str(caught.value.remedy)


def test_a_lock_made_for_other_install_scripts_is_not_used(job: Job) -> None:
    pip_builder.relock(job)
    text = lock_of(job)
    for names in ((), ("thing", "tool")):
        defined(job, *names, wanted="thing==1.2\ntool==1.0\n")
        (job.tree / "requirements.lock").write_text(text)
        with pytest.raises(BuildError, match=r"disagree about whether (thing|tool) is") as caught:
            pip_builder.fetch(job)
        assert "Refresh" in str(caught.value.remedy)


def test_a_listed_package_is_built_even_if_it_has_a_wheel(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shown(tmp_path, monkeypatch)
    source = sdists.make(folder, "thing", "1.2")
    wheel = make_wheel(folder, "thing", "1.2")
    pip_builder.relock(defined(job, "thing", wanted="thing==1.2\n"))
    assert lock_of(job) == (
        f"--no-binary thing\nthing==1.2 \\\n    --hash=sha256:{sha256(source)}\n"
    )
    built = lock_of(job)
    defined(job, wanted="thing<2\n")
    (job.tree / "requirements.lock").write_text(built)
    pip_builder.align(job)
    assert lock_of(job) == f"thing==1.2 \\\n    --hash=sha256:{sha256(wheel)}\n"


def test_other_bytes_than_locked_are_refused(job: Job, index: Path) -> None:
    pip_builder.relock(job)
    good = sha256(index / "thing-1.2.tar.gz")
    (job.tree / "requirements.lock").write_text(lock_of(job).replace(good, "0" * 64))
    with pytest.raises(BuildError, match=f"HASHES.*sha256:{good}") as caught:
        pip_builder.fetch(job)
    assert "Do not trust" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("before", "after", "message", "remedy"),
    [
        (CONNECT, "pass", "Network is unreachable", "no network"),
        (ESCAPE.format("/template/bin/evil"), "pass", "Read-only", "outside of its own"),
        (ESCAPE.format("/wheels/evil.whl"), "pass", "Read-only", "outside of its own"),
        (ESCAPE.format("/pip-config/pip.conf"), "pass", "No such file", None),
        ("raise SystemExit('I will not')", "pass", "I will not", None),
        ("import cython_is_not_there", "pass", "ModuleNotFoundError", "does not name all"),
        ("pass", "wheel = 'none.whl'", "No such file", None),
        ("pass", "open(f'{folder}/odd-1.0-py3-none-any.whl', 'w')", "left odd-1.0.*, thing", None),
        (
            "pass",
            RELINK.format("f'{folder}/{wheel}'", "../moved"),
            "cannot be read",
            None,
        ),
        (
            "pass",
            RELINK.format("folder", "moved"),
            "left no folder",
            None,
        ),
    ],
)
def test_a_backend_that_misbehaves_fails_the_build(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    before: str, after: str, message: str, remedy: str | None,
) -> None:  # fmt: skip
    bad = shown(tmp_path, monkeypatch)
    sdists.make(bad, "thing", "1.2", before=before, after=after)
    with pytest.raises(BuildError, match=message) as caught:
        pip_builder.relock(job)
    assert remedy is None or remedy in str(caught.value.remedy)
    assert not (job.tree / "requirements.lock").exists()
    assert not (job.tree / "bin/evil").exists()


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this folder of the test the only source of pip."""
    folder.chmod(0o755)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_hanging_backend_is_stopped_and_its_last_output_is_shown(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_cage, "WALL_MS", 3_000)
    bad = shown(tmp_path, monkeypatch)
    words = "import time; print('I wait', flush=True); time.sleep(999)"
    sdists.make(bad, "thing", "1.2", before=words)
    with pytest.raises(BuildError, match=r"longer than 3000 ms.*I wait"):
        pip_builder.relock(job)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"requires": ("x @ https://host.invalid/x.tar.gz",)}, "asks to be built with .x @ "),
        ({"late": ("x @ file:///x.whl",)}, "asks to be built with .x @ "),
        ({"needs": ("x @ https://host.invalid/x.tar.gz",)}, "thing needs .x @ "),
        ({"late": ("-r /etc/passwd",)}, "asks to be built with '-r /etc/passwd'"),
        ({"late": (INJECTED,)}, "asks to be built with .tool; "),
        ({"needs": (INJECTED,)}, "thing needs .tool; "),
        ({"needs": ("tool (((",)}, "thing needs .tool \\(\\(\\("),
        ({"requires": ("nowhere",)}, "The build requirements of thing are not available"),
    ],
)
def test_only_requirements_by_name_from_the_index_are_taken(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, Any], message: str
) -> None:
    sdists.make(shown(tmp_path, monkeypatch), "thing", "1.2", **made)
    with pytest.raises(BuildError, match=message):
        pip_builder.relock(job)


@pytest.mark.parametrize("what", ["thing", "thing-1.2/../../evil", "evil", "pipe"])
def test_an_archive_with_members_outside_its_folder_is_not_unpacked(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder = shown(tmp_path, monkeypatch)
    path = sdists.make(folder, "thing", "1.2")
    with tarfile.open(path, "w:gz") as packed:
        link = tarfile.TarInfo("thing-1.2/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../etc"
        file = tarfile.TarInfo(what)
        file.size = 1
        pipe = tarfile.TarInfo("thing-1.2/pipe")
        pipe.type = tarfile.FIFOTYPE
        member = {"thing": link, "pipe": pipe}.get(what, file)
        packed.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BuildError, match=r"ERROR: source\.tar\.gz"):
        pip_builder.relock(job)


@pytest.mark.parametrize(
    "line", ["thing @ file://{0}/thing-1.2.tar.gz", "file://{0}/thing-1.2.tar.gz"]
)
def test_a_link_is_not_built_where_there_is_a_network(job: Job, index: Path, line: str) -> None:
    defined(job, wanted=line.format(index) + "\n")
    with pytest.raises(BuildError, match="may not start a program") as caught:
        pip_builder.relock(job)
    assert "install_scripts" in str(caught.value.remedy)
