"""Run tests as an ordinary user: `python -m tests.faults.run_as_user HOME TEST …`, started by root.

Root can read every file, so that errors of an ordinary user do not occur. If other users cannot
reach the interpreter, this process binds it into a mount namespace of its own.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

USER = 65534


def show(prefix: Path) -> None:
    """Make the interpreter reachable if a folder above it is closed to other users."""
    closed = [folder for folder in prefix.parents if not folder.stat().st_mode & 0o001]
    if not closed:
        return
    os.unshare(os.CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    held = Path(tempfile.mkdtemp(prefix="stencil-python-"))
    for argv in (
        ["mount", "--bind", str(prefix), str(held)],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed[-1])],
        ["mkdir", "-p", str(prefix)],
        ["mount", "--move", str(held), str(prefix)],
    ):
        subprocess.run(argv, check=True)
    held.rmdir()


def main(home: str, tests: list[str]) -> None:
    """Become the user and replace this process by pytest."""
    show(Path(sys.base_prefix))
    os.chown(home, USER, USER)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    env = {**os.environ, "HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    os.execve(sys.executable, [*argv, f"--basetemp={home}/tests", *tests], env)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
