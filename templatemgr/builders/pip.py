"""pip in the build cage: wheels by hash with network, then installed without it.

The tree gets a copy of the Python that runs us, and that copy runs pip, which comes read-only from
our own environment. Only wheels are taken: a source distribution runs its author's code as soon as
its dependencies are asked for.
"""

import importlib.util
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from sandbox import cage
from sandbox.errors import CageStoppedError
from templatemgr import store
from templatemgr.builders import Job, compile_tree, interpreter, pip_config
from templatemgr.builders.interpreter import SITE, InterpreterError
from templatemgr.errors import BuildCancelledError, BuildError
from templatemgr.lockfile import Package

MANIFEST = "requirements.in"
LOCKS = ("requirements.lock",)
WALL_MS = 15 * 60 * 1000
TREE, TOOLCHAIN = "/template", "/toolchain"
REPORT, PINS = "report.json", "pins.txt"
# A lock holds the wheels of these, besides those of the machine that makes it.
PYTHONS = ("3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
GLIBCS = ("2_17", "2_24", "2_26", "2_27", "2_28")
WHEELS_ONLY = ("--only-binary", ":all:")
REMEDIES = {
    r"DO NOT MATCH THE HASHES": "The index served other bytes than the lock names. Do not trust "
    "them: compare with another index, then refresh the lock.",
    r"must have hashes|(?i:in --require-hashes mode)": "A requirement in the lock has no hash: "
    "start a refresh build, which writes them.",
    r"No matching distribution|Could not find a version": "A locked version is not in the index "
    "as a wheel for this Python and machine: refresh, or pin one that is.",
    r"CERTIFICATE_VERIFY_FAILED|SSLError": "The index's certificate is not trusted: name its CA "
    "in pip's `cert` or in SSL_CERT_FILE.",
    r"\b40[13] Client Error|\b40[13]\b.*(Unauthorized|Forbidden)": "The index refused us: check "
    "the credentials in pip's configuration.",
    r"NewConnectionError|NameResolutionError|Temporary failure|ConnectTimeout|ReadTimeout": "The "
    "index cannot be reached: check the network, the proxy and pip's `index-url`.",
    r"ResolutionImpossible|conflicting dependencies": "The ranges in requirements.in exclude each "
    "other: loosen one of them.",
    r"No space left": "The disk is full: free some space and build again.",
}


def relock(job: Job) -> None:
    """Resolve requirements.in for this machine; lock the wheels of all machines, without hosts."""
    (job.tree / LOCKS[0]).unlink(missing_ok=True)
    if not (job.tree / MANIFEST).is_file():
        message = f"The definition has no {MANIFEST} among its files."
        raise BuildError(message, step="fetching")
    _prepare(job)
    found = _resolved(job, ("-r", f"/build/tree/{MANIFEST}"))
    pins = {name: version for name, (version, _) in found.items()}
    hashes = {name: {digest} for name, (_, digest) in found.items()}
    text = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (job.bench / PINS).write_text(text, encoding="utf-8")
    for target in _targets():
        for name, (_, digest) in _elsewhere(job, target).items():
            hashes[name].add(digest)
    (job.tree / LOCKS[0]).write_text(_lock(pins, hashes), encoding="utf-8")


def fetch(job: Job) -> None:
    """Download exactly the wheels that the lock names, each checked by its hash."""
    if not (job.tree / LOCKS[0]).is_file():
        message = f"The definition has no {LOCKS[0]}."
        raise BuildError(message, step="fetching", remedy="Start a refresh build to make one.")
    if job.definition.install_scripts:
        message = "The pip builder takes wheels only, which have no install scripts."
        raise BuildError(message, step="fetching", remedy="Leave `install_scripts` empty.")
    _prepare(job)
    wheels = ("--require-hashes", "--no-deps", *WHEELS_ONLY, "--dest", "/build/wheels")
    _online(job, ("download", *wheels, "-r", f"/build/tree/{LOCKS[0]}"))


def install(job: Job) -> None:
    """Install the wheels into the tree, prune, compile, make the toolchain's links."""
    _show(job.bench / "wheels")
    where = ("--no-index", "--find-links", "/wheels", "--prefix", "/build", "--ignore-installed")
    how = ("--require-hashes", "--no-deps", "--no-compile", "--no-warn-script-location")
    script = Path(compile_tree.__file__).resolve()
    pip_argv = (*_pip(TREE), "install", *where, *how, "-r", f"{TREE}/{LOCKS[0]}")
    _offline(job, pip_argv, "pip install")
    for pattern in job.definition.prune:
        for path in sorted(job.tree.glob(pattern)):
            store.remove(path)
    shown = f"{TOOLCHAIN}/{script.name}"
    python = f"{TREE}/bin/python"
    _offline(job, (python, "-B", "-P", "-s", shown, "/build", TREE), "the compiler")
    for link, target in job.definition.toolchain.items():
        _link(job.tree, link, target.replace("{site}", SITE))


def _show(wheels: Path) -> None:
    """Let the cage's user read what was downloaded, whatever the umask was."""
    wheels.mkdir(exist_ok=True)
    wheels.chmod(0o755)
    for wheel in wheels.iterdir():
        wheel.chmod(0o644)


def packages(tree: Path) -> list[Package]:
    """Return the interpreter and what is installed beside it."""
    wanted = _wanted((tree / MANIFEST).read_text(encoding="utf-8"))
    found = [Package(name="python", version=platform.python_version(), direct=True)]
    for metadata in tree.glob(f"{SITE}/*.dist-info/METADATA"):
        fields = BytesHeaderParser().parsebytes(metadata.read_bytes())
        name, version = str(fields["Name"]), str(fields["Version"])
        found.append(Package(name=name, version=version, direct=_plain(name) in wanted))
    return sorted(found, key=lambda package: (package.name.lower(), package.version))


def _wanted(text: str) -> frozenset[str]:
    """Return the plain names at the beginnings of the lines of a requirements file."""
    found = (re.match(r"[A-Za-z0-9][\w.-]*", line.strip()) for line in text.splitlines())
    return frozenset(_plain(match[0]) for match in found if match)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _prepare(job: Job) -> None:
    """Put the interpreter into the tree, once."""
    if (job.tree / "bin/python").exists():
        return
    try:
        interpreter.copy(job.tree)
    except InterpreterError as error:
        remedy = "Run Stencil by another Python: pyenv's, uv's, or the official image's."
        raise BuildError(str(error), step="fetching", remedy=remedy) from error
    job.log("build", f"Copied Python {platform.python_version()} into the tree.")


def _targets() -> list[tuple[str, str]]:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [(python, machine) for python in sorted({*PYTHONS, running}) for machine in MACHINES]


def _elsewhere(job: Job, target: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Return the same versions as wheels for another Python and machine; none if one has none."""
    python, machine = target
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBCS]
    options = ["--no-deps", "--implementation", "cp", "--python-version", python]
    options += [item for name in platforms for item in ("--platform", name)]
    try:
        return _resolved(job, (*options, "--target", "/tmp/none", "-r", f"/build/{PINS}"))  # noqa: S108 - inside the cage
    except BuildError:
        job.log("build", f"Not locked for Python {python} on {machine}: not all have wheels.")
        return {}


def _resolved(job: Job, argv: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Ask pip what it would install: name → (version, hash)."""
    report = job.bench / REPORT
    quiet = ("--dry-run", "--ignore-installed", "--report", f"/build/{REPORT}", *WHEELS_ONLY)
    _online(job, ("install", *quiet, *argv))
    items = json.loads(report.read_bytes())["install"]
    report.unlink()
    return {_plain(item["metadata"]["name"]): _pinned(item) for item in items}


def _pinned(item: Mapping[str, Any]) -> tuple[str, str]:
    digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        message = f"The index gives no SHA-256 for {item['metadata']['name']}."
        raise BuildError(message, step="fetching")
    return item["metadata"]["version"], digest


def _lock(pins: Mapping[str, str], hashes: Mapping[str, Iterable[str]]) -> str:
    entries = []
    for name, version in sorted(pins.items()):
        digests = (f"    --hash=sha256:{digest}" for digest in sorted(hashes[name]))
        entries.append(" \\\n".join([f"{name}=={version}", *digests]) + "\n")
    return "".join(entries)


def _pip(tree: str) -> tuple[str, ...]:
    return (f"{tree}/bin/python", "-I", "-B", f"{TOOLCHAIN}/pip")


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
        "PIP_CONFIG_FILE": f"/build/{pip_config.CONFIG}",
        "PIP_CACHE_DIR": "/build/downloads",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
        "SOURCE_DATE_EPOCH": "315532800",
    }


def _online(job: Job, argv: tuple[str, ...]) -> None:
    """Run pip with network and this machine's configuration, which is gone before code runs."""
    try:
        machine = pip_config.read(os.environ)
    except ValueError as error:
        raise BuildError(str(error), step="fetching") from error
    jail = cage.Cage(
        writable=job.bench,
        read_only=((_pip_folder(), f"{TOOLCHAIN}/pip"), *machine.binds),
        network=True,
        env={**_environment(), **machine.env},
        wall_ms=WALL_MS,
    )
    try:
        for name, content in machine.files.items():
            (job.bench / name).write_bytes(content)
        _run(job, jail, (*_pip("/build/tree"), *argv), step="fetching", what=f"pip {argv[0]}")
    finally:
        for name in machine.files:
            (job.bench / name).unlink(missing_ok=True)


def _offline(job: Job, argv: tuple[str, ...], what: str) -> None:
    script = Path(compile_tree.__file__).resolve()
    jail = cage.Cage(
        writable=job.tree,
        read_only=(
            (job.tree, TREE),
            (job.bench / "wheels", "/wheels"),
            (_pip_folder(), f"{TOOLCHAIN}/pip"),
            (script, f"{TOOLCHAIN}/{script.name}"),
        ),
        network=False,
        env=_environment() | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"},
        wall_ms=WALL_MS,
    )
    _run(job, jail, argv, step="installing", what=what)


def _run(job: Job, jail: cage.Cage, argv: tuple[str, ...], *, step: str, what: str) -> None:
    said: list[str] = []

    def listen(stream: str, text: str) -> None:
        said.append(text)
        del said[:-200]
        job.log(stream, text)

    job.log(
        "build", "$ " + " ".join(Path(item).name if n == 0 else item for n, item in enumerate(argv))
    )
    try:
        status = cage.run(jail, list(argv), listen, cancel=job.cancel)
    except CageStoppedError as error:
        if job.cancel.is_set():
            raise BuildCancelledError from None
        message = f"{what} was stopped: {error}."
        raise BuildError(message, step=step) from error
    if status != 0:
        message = f"{what} ended with status {status}. {_essence(said)}".strip()
        raise BuildError(message, step=step, remedy=_remedy(said))


def _essence(said: list[str]) -> str:
    """Return the lines that say what was wrong; pip marks its own."""
    errors = [line for line in said if line.startswith("ERROR:")]
    return "\n".join((errors or said)[-12:])


def _remedy(said: list[str]) -> str | None:
    text = "\n".join(said)
    return next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, text)), None)


def _link(tree: Path, link: str, target: str) -> None:
    if not (tree / target).exists():
        message = f"The toolchain {link} should lead to {target}, which is not installed."
        raise BuildError(message, step="installing")
    place = tree / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(tree / target, place.parent))
