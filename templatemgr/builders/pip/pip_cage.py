"""Run pip in a cage, with or without network; give its settings and remedies for its errors."""

import importlib.util
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from sandbox import cage
from sandbox.isolation import seccomp
from templatemgr.builders import interpreter, registries, steps
from templatemgr.builders.base import Job
from templatemgr.builders.interpreter import InterpreterError
from templatemgr.builders.pip import online_pip, pip_config
from templatemgr.errors import BuildError

WALL_MS = 15 * 60 * 1000
TREE, TOOLCHAIN = "/template", "/toolchain"
SEAL = online_pip.SEAL
WHEELS_ONLY = ("--only-binary", ":all:")
REFUSED = "The index refused the request: check the credentials in pip's configuration."
REMEDIES = {
    steps.CLOSED: registries.HINT,
    online_pip.REFUSED: "pip builds a link, a path or a repository as soon as it reads it. Require "
    "packages of the index by name; name a package without a wheel in `install_scripts`.",
    r"DO NOT MATCH THE HASHES": "The index served other bytes than the lock names. Do not trust "
    "them: compare with another index, then refresh the lock.",
    r"must have hashes|(?i:in --require-hashes mode)": "A requirement in the lock has no hash: "
    "start a refresh build, which writes them.",
    r"No matching distribution|Could not find a version": "A locked version is not in the index "
    "as a wheel for this Python and machine: refresh, or pin one that is.",
    r"CERTIFICATE_VERIFY_FAILED|SSLError": "The index's certificate is not trusted: name its CA "
    "in pip's `cert` or in SSL_CERT_FILE.",
    r"\b40[13] Client Error": REFUSED,
    r"\b40[13]\b … Unauthorized|Forbidden": REFUSED,
    r"NewConnectionError|NameResolutionError|Temporary failure|ConnectTimeout|ReadTimeout": "The "
    "index cannot be reached: check the network, the proxy and pip's `index-url`.",
    r"ResolutionImpossible|conflicting dependencies": "The ranges in requirements.in exclude each "
    "other: loosen one of them.",
    r"No space left": "The disk is full: free some space and build again.",
}


def prepare(job: Job) -> None:
    """Copy the interpreter into the tree, unless it is there. Raises BuildError."""
    if (job.tree / "bin/python").exists():
        return
    try:
        interpreter.copy(job.tree)
    except InterpreterError as error:
        remedy = "Run Stencil by another Python: pyenv's, uv's, or the official image's."
        raise BuildError(str(error), step="fetching", remedy=remedy) from error
    job.log("build", f"Copied Python {platform.python_version()} into the tree.")


def program(tree: str) -> tuple[str, ...]:
    """Return the argv that runs pip by the Python of the tree at this path of the cage."""
    return (f"{tree}/bin/python", "-I", "-S", "-B", f"{TOOLCHAIN}/pip")


def _pip_folder() -> Path:
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        message = "There is no pip beside Stencil."
        raise BuildError(message, step="fetching", remedy="Install pip into Stencil's environment.")
    return Path(spec.origin).resolve().parent


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "PYTHONHASHSEED": "0",
        "PIP_CONFIG_FILE": pip_config.CONFIG,
        "PIP_CACHE_DIR": "/build/downloads",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_KEYRING_PROVIDER": "disabled",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        "SOURCE_DATE_EPOCH": "315532800",
    }


def online(job: Job, argv: tuple[str, ...], *, task: str = "pip", wall_ms: int = WALL_MS) -> None:
    """Run pip with network and with this machine's configuration of pip.

    pip cannot start another program, so that no foreign code runs. `task` is a task of
    online_pip.py, by default pip itself; `argv` are its arguments. `wall_ms` limits the run, in
    milliseconds. Note the configured and the reached hosts in the job. Raises BuildError,
    BuildCancelledError.
    """
    try:
        machine = pip_config.read(os.environ)
        proxy = machine.operator_proxy(os.environ)
        further = registries.further(job.fetch_hosts)
    except ValueError as error:
        raise BuildError(str(error), step="fetching") from error
    endpoints = machine.endpoints()
    job.configured.update(*endpoints)
    script = Path(online_pip.__file__).resolve()
    shown = f"{TOOLCHAIN}/{script.name}"
    jail = cage.Cage(
        writable=job.workspace,
        read_only=((_pip_folder(), f"{TOOLCHAIN}/pip"), (script, shown), *machine.binds),
        files={**machine.files, SEAL: seccomp.no_execution()},
        egress=registries.egress(endpoints, further, proxy, seconds=wall_ms / 1000),
        reached=job.reached,
        env={**_environment(), **machine.env},
        wall_ms=wall_ms,
        disk_bytes=job.disk_bytes,
    )
    whole = ("/build/tree/bin/python", "-I", "-S", "-B", shown, TOOLCHAIN, task, *argv)
    _run(job, jail, whole, step="fetching", what=f"pip {argv[0] if task == 'pip' else task}")


def download(job: Job, requirements: str) -> None:
    """Download the wheels that a requirements file names to `wheels`, and check their hashes.

    `requirements` is the path of the file in the cage. Raises BuildError, BuildCancelledError.
    """
    how = ("--require-hashes", "--no-deps", *WHEELS_ONLY, "--dest", "/build/wheels")
    online(job, ("download", *how, "-r", requirements))


def show(job: Job) -> Path:
    """Make the wheels readable for the cage's user under any umask; return their folder."""
    wheels = job.workspace / "wheels"
    wheels.mkdir(exist_ok=True)
    wheels.chmod(0o755)
    for wheel in wheels.iterdir():
        wheel.chmod(0o644)
    return wheels


def offline(
    job: Job,
    argv: tuple[str, ...],
    what: str,
    *,
    writable: Path | None = None,
    shown: tuple[tuple[Path, str], ...] = (),
    env: Mapping[str, str] | None = None,
    remedies: Mapping[str, str] = REMEDIES,
    wall_ms: int = WALL_MS,
) -> None:
    """Run the Python of the tree without network and without this machine's configuration of pip.

    `what` names the program in error messages. The program can write only in `writable`, which is
    the tree by default. `shown` are further read-only files, as pairs of a path of this machine and
    a path in the cage. `env` adds variables. `wall_ms` limits the run, in milliseconds. Raises
    BuildError, BuildCancelledError.
    """
    jail = cage.Cage(
        writable=job.tree if writable is None else writable,
        read_only=(
            (job.tree, TREE),
            (show(job), "/wheels"),
            (_pip_folder(), f"{TOOLCHAIN}/pip"),
            *shown,
        ),
        env={
            **_environment(),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            **(env or {}),
        },
        wall_ms=wall_ms,
        disk_bytes=job.disk_bytes,
    )
    _run(job, jail, argv, step="installing", what=what, remedies=remedies)


def _run(
    job: Job,
    jail: cage.Cage,
    argv: tuple[str, ...],
    *,
    step: str,
    what: str,
    remedies: Mapping[str, str] = REMEDIES,
) -> None:
    job.log("build", " ".join(("$", Path(argv[0]).name, *argv[1:])))
    steps.run(job, jail, argv, step=step, what=what, remedies=remedies, mark="ERROR:")
