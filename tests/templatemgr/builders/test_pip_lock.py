"""Test that a change moves as little of the lock as necessary: real pip in the real cage."""

from collections.abc import Iterator

import pytest

from templatemgr import store
from templatemgr.builders import registry
from templatemgr.builders.base import Job
from templatemgr.builders.pip import pip_builder, pip_lockfile, pip_report
from templatemgr.errors import BuildError
from tests.templatemgr.builders.test_pip import make_job, make_wheel

WANTED = "app>=1,<3  # ours\ntool>=1\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make `app` 1.0 with base<2 and 2.0 with base>=2; `tool` and `base` have newer versions."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # under root, the cage has another user
    make_wheel(folder, "app", "1.0", needs="base<2")
    make_wheel(folder, "app", "1.1", needs="base<2")
    make_wheel(folder, "app", "2.0", needs="base>=2")
    for name, version in (("base", "1.0"), ("base", "1.9"), ("base", "2.0"), ("tool", "1.0")):
        make_wheel(folder, name, version)
    make_wheel(folder, "tool", "1.5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", str(folder / "pip.conf"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
            patch.delenv(name, raising=False)
        # test_pip.py locks for other machines; one call of pip per lock is enough here.
        patch.setattr(pip_report, "MACHINES", ())
        yield


@pytest.fixture(scope="module")
def workspace(wheels: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Make a workspace with the interpreter in its tree, shared by all tests of this module."""
    job = make_job(tmp_path_factory.mktemp("workspace") / "work")
    yield job
    store.remove(job.workspace)


@pytest.fixture
def job(workspace: Job) -> Job:
    """Give the workspace with an old lock: app 1.0, base 1.0, tool 1.0."""
    (workspace.tree / "requirements.in").write_text(WANTED)
    lock = "app==1.0\nbase==1.0\ntool==1.0\n"
    (workspace.tree / "requirements.lock").write_text(lock)
    return workspace


def locked(job: Job) -> dict[str, str]:
    text = (job.tree / "requirements.lock").read_text()
    assert text.count("--hash=sha256:") >= text.count("==")
    return {name: pin.version for name, pin in pip_lockfile.read(text).packages.items()}


def wanted(job: Job) -> str:
    return (job.tree / "requirements.in").read_text()


def test_one_package_moves_and_the_others_stay(job: Job) -> None:
    pip_builder.update(job, ["tool"])
    assert locked(job) == {"app": "1.0", "base": "1.0", "tool": "1.5"}
    assert wanted(job) == WANTED


def test_a_transitive_package_moves_as_far_as_its_dependents_allow(job: Job) -> None:
    pip_builder.update(job, ["base"])
    assert locked(job) == {"app": "1.0", "base": "1.9", "tool": "1.0"}


def test_an_exact_version_moves_only_the_packages_that_it_needs(job: Job) -> None:
    pip_builder.update(job, ["app@2.0"])
    assert locked(job) == {"app": "2.0", "base": "2.0", "tool": "1.0"}
    assert wanted(job) == "app==2.0  # ours\ntool>=1\n"


def test_a_transitive_package_is_held_at_an_exact_version(job: Job) -> None:
    pip_builder.update(job, ["base@1.9"])
    assert locked(job) == {"app": "1.0", "base": "1.9", "tool": "1.0"}
    assert wanted(job) == WANTED + "base==1.9\n"


def test_without_names_all_packages_move_within_their_ranges(job: Job) -> None:
    pip_builder.update(job, [])
    assert locked(job) == {"app": "2.0", "base": "2.0", "tool": "1.5"}


def test_an_edited_range_moves_only_packages_outside_of_it(job: Job) -> None:
    (job.tree / "requirements.in").write_text("app>=1.1,<2\ntool>=1\n")
    pip_builder.align(job)
    assert locked(job) == {"app": "1.1", "base": "1.0", "tool": "1.0"}


def test_a_package_that_is_no_longer_required_leaves_the_lock(job: Job) -> None:
    (job.tree / "requirements.in").write_text("tool\n")
    pip_builder.align(job)
    assert locked(job) == {"tool": "1.0"}


def test_a_lookup_finds_the_newest_version_in_range_and_overall(job: Job) -> None:
    (job.tree / "requirements.in").write_text("app>=1,<2\ntool==1.0\n")
    finder = registry.update_finder("pip")
    assert finder is not None
    found = [(c.name, c.installed, c.wanted, c.latest, c.direct) for c in finder.outdated(job)]
    assert found == [
        ("app", "1.0", "1.1", "2.0", True),
        ("base", "1.0", "1.9", "2.0", False),
        ("tool", "1.0", "1.0", "1.5", True),
    ]
    assert locked_before(job)


def test_a_lock_ahead_of_the_index_is_not_called_outdated(job: Job) -> None:
    (job.tree / "requirements.in").write_text("tool\n")
    (job.tree / "requirements.lock").write_text("tool==1.6.dev3\n")
    finder = registry.update_finder("pip")
    assert finder is not None
    [tool] = finder.outdated(job)
    assert {tool.installed, tool.wanted, tool.latest} == {"1.6.dev3"}


def test_without_a_lock_the_index_is_not_queried(job: Job) -> None:
    (job.tree / "requirements.lock").unlink()
    finder = registry.update_finder("pip")
    assert finder is not None
    with pytest.raises(BuildError, match=r"requirements\.lock names no package") as caught:
        finder.outdated(job)
    assert caught.value.remedy == "Refresh it first."


def test_an_unknown_package_is_named(job: Job) -> None:
    with pytest.raises(BuildError, match=r"Not in requirements\.lock: Nobody") as caught:
        pip_builder.update(job, ["Nobody", "app"])
    assert "requirements.in" in str(caught.value.remedy)


def test_a_version_that_does_not_exist_fails_with_a_remedy(job: Job) -> None:
    with pytest.raises(BuildError, match="No matching distribution") as caught:
        pip_builder.update(job, ["app@9.9"])
    assert caught.value.remedy is not None
    assert locked_before(job)


def locked_before(job: Job) -> bool:
    """Return whether the lock is as the fixture wrote it."""
    return (job.tree / "requirements.lock").read_text() == "app==1.0\nbase==1.0\ntool==1.0\n"
