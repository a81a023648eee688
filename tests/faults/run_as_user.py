"""Run tests as an ordinary user: `python -m tests.faults.run_as_user HOME TEST …`, started by root.

To root nothing is unreadable, so that much of what a user meets is never met. An interpreter that
lies where others may not look is shown to the user in a mount namespace of this process's own.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

USER = 65534


def show(prefix: Path) -> None:
    """Let the interpreter be reached, if a folder above it is closed to others."""
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
    """Become the user, and let pytest take this process's place."""
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
