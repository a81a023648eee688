"""Install the programs that `make test` needs and that pip cannot bring.

Those are Chromium, nginx, a C compiler, curl, git and chattr. apt installs them if we are root or
if sudo asks for no password. Otherwise Playwright's installer downloads Chromium into the cache of
the user. One line then names the programs that are still missing, with the command to type, and
the exit status is 1.

If nothing is missing, the script uses no network and prints nothing.
"""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import Error, sync_playwright

# The command, and the Debian packages that contain it.
PACKAGES = {
    "chromium": ("chromium",),
    "nginx": ("nginx",),
    "cc": ("gcc", "libc6-dev"),
    "curl": ("curl",),
    "git": ("git",),
    "chattr": ("e2fsprogs",),
}
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # not on every user's PATH; nginx lies there
FLAGS = ["--no-sandbox"]  # Chromium's own sandbox does not start as root


def main() -> int:
    """Install what is missing; return the exit status."""
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{SYSTEM_FOLDERS}"
    if not missing():
        return 0
    install_by_apt(missing())
    if "chromium" in missing():
        install_by_playwright()
    if not (left := missing()):
        return 0
    packages = " ".join(package for tool in left for package in PACKAGES[tool])
    print(
        f"make test: {' and '.join(left)} could not be installed; as root, with a network, run: "
        f"apt-get update && apt-get install -y {packages}",
        file=sys.stderr,
    )
    return 1


def missing() -> list[str]:
    """Return the names of PACKAGES that this machine lacks."""
    return [tool for tool in PACKAGES if not is_there(tool)]


def is_there(tool: str) -> bool:
    """Return whether the tests will find `tool`."""
    if tool == "chromium":
        return shutil.which(tool) is not None or playwright_starts()
    if tool == "cc":
        return any(map(shutil.which, ("gcc", "cc")))
    return shutil.which(tool) is not None


def playwright_starts() -> bool:
    """Return whether Playwright's own Chromium starts: a download can lack libraries."""
    with sync_playwright() as playwright:
        try:
            playwright.chromium.launch(args=FLAGS).close()
        except Error:
            return False
    return True


def install_by_apt(tools: list[str]) -> None:
    """Install each tool's packages by apt, if apt exists and may be used."""
    prefix = rights()
    if prefix is None or shutil.which("apt-get") is None:
        return
    run([*prefix, "apt-get", "update", "-qq"])
    for tool in tools:
        run([*prefix, "apt-get", "install", "-y", "-qq", *PACKAGES[tool]])


def install_by_playwright() -> None:
    """Download Playwright's Chromium; as root, its libraries come by apt, too."""
    prefix = rights()
    options = [] if prefix is None or shutil.which("apt-get") is None else ["--with-deps"]
    run([sys.executable, "-m", "playwright", "install", *options, "chromium"])


def rights() -> list[str] | None:
    """Return the prefix of a command that only root may run; None without the right to run it."""
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    if os.geteuid() == 0:
        return environment
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True).returncode != 0:
        return None
    return [sudo, "-n", *environment]


def run(argv: list[str]) -> None:
    """Run one installer without its output. `missing()` shows afterwards whether it worked."""
    print("make test:", " ".join(argv), file=sys.stderr)
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
