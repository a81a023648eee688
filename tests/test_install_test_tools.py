"""Test that `make test` installs the programs that tests call, or names the packages to install."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

import install_test_tools

CALLED = {"chromium", "nginx", "cc", "curl", "git", "chattr"}


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A bare machine with apt, run by root: no program is found, and no installer works."""
    ran: list[list[str]] = []
    which = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setenv("PATH", os.environ["PATH"])  # the script extends it
    monkeypatch.setattr(shutil, "which", which.get)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install_test_tools, "playwright_starts", lambda: False)
    monkeypatch.setattr(install_test_tools, "run", ran.append)
    return ran


def test_root_installs_each_program_by_apt(commands: list[list[str]]) -> None:
    install_test_tools.main()
    assert set(install_test_tools.PACKAGES) == CALLED
    for packages in install_test_tools.PACKAGES.values():
        assert any(argv[-len(packages) :] == list(packages) for argv in commands), packages


def test_one_line_names_the_packages_of_every_missing_program(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install_test_tools.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    for packages in install_test_tools.PACKAGES.values():
        assert " ".join(packages) in line.partition("apt-get install -y ")[2]
    assert not any("apt-get" in argv for argv in commands)


def test_a_complete_machine_runs_no_installer(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    assert install_test_tools.main() == 0
    assert commands == []
