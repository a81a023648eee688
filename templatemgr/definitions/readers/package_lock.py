"""Strict reader of `package-lock.json`: registry sources only, each with a sha512 hash.

npm treats each entry of `packages` as the manifest of a package and resolves its dependencies.
Therefore every entry must pass the checks of `package.json` as well. The format is npm's
(lockfileVersion 2 and 3). The top-level table `dependencies` of older formats is not read here, so
a lock with a non-empty one is refused.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from templatemgr import lockfile
from templatemgr.definitions.readers import npm_specs, package_json, strict_json
from templatemgr.definitions.readers.rules import Rules

MAX_BYTES = 8 * 1024 * 1024
MAX_PACKAGES = 10_000
MAX_PATH = 2_000
FOLDER = "node_modules/"
TOP = ("name", "version", "lockfileVersion", "requires", "packages")
# The keys that npm writes into an entry.
ENTRY = frozenset(
    {
        "name", "version", "resolved", "integrity", "license", "engines", "os", "cpu", "libc",
        "bin", "dependencies", "optionalDependencies", "peerDependencies", "devDependencies",
        "acceptDependencies", "peerDependenciesMeta", "bundleDependencies", "dev", "optional",
        "devOptional", "peer", "inBundle", "link", "extraneous", "hasInstallScript",
        "hasShrinkwrap", "deprecated", "funding", "ideallyInert", "workspaces",
    }
)  # fmt: skip
# JSON.parse and Python disagree about what is true, so only the type that npm writes is taken.
BOOLEANS = (
    "dev", "optional", "devOptional", "peer", "inBundle", "link", "extraneous",
    "hasInstallScript", "hasShrinkwrap", "ideallyInert",
)  # fmt: skip
PLATFORMS = ("os", "cpu", "libc")
DIGESTS = {"sha512": 64, "sha384": 48, "sha256": 32, "sha1": 20}
REMEDY = "Refresh it first. A refresh build makes a new lock."
Place = tuple[str | int, ...]


def read(text: str, rules: Rules, manifest: str | None = None) -> dict[str, Any]:
    """Return the parsed lock.

    `manifest` is the text of the package.json beside it, or None. Raises FileError.
    """
    found = strict_json.load(text, MAX_BYTES)
    if type(found.get("lockfileVersion")) is not int or found["lockfileVersion"] not in (2, 3):
        strict_json.fail(text, ("lockfileVersion",), "must be 2 or 3", REMEDY)
    for key in found:
        if key not in TOP and found[key]:
            strict_json.fail(text, (key,), "is not taken from a lock", REMEDY)
    packages = found.get("packages")
    if not isinstance(packages, dict) or len(packages) > MAX_PACKAGES:
        reason = f"must be a table of at most {MAX_PACKAGES} packages"
        strict_json.fail(text, ("packages",), reason, REMEDY)
    for path, entry in packages.items():
        if not isinstance(entry, dict):
            strict_json.fail(text, ("packages", path), "must be a table", REMEDY)
    bundled = _bundled(packages)
    for path, entry in packages.items():
        at = ("packages", path)
        # These two keys are refused in the root entry only. In the entry of a package they describe
        # the content of its archive.
        own = {**entry, "bundleDependencies": None, "workspaces": None} if path else entry
        package_json.check(text, at, own, rules)
        if path:
            _Entry(text, at, path, entry, rules).check(bundled)
    if rules.stale_lock:
        return found
    _check_aliases(text, packages, {} if manifest is None else package_json.read(manifest, rules))
    return found


class _Entry:
    """One entry of `packages`, with its checks. Each check raises FileError."""

    def __init__(
        self, text: str, at: Place, path: str, entry: Mapping[str, Any], rules: Rules
    ) -> None:
        self._text, self._at, self._path = text, at, path
        self._entry, self._rules = entry, rules

    def check(self, bundled: Collection[str]) -> None:
        """Check the entry; `bundled` holds the paths that the archive of another package brings."""
        for key in self._entry:
            if key not in ENTRY:
                self._fail(key, "is not taken from a lock")
        self._check_types()
        if self._entry.get("link"):
            return self._check_link()
        self._check_place()
        if self._entry.get("hasShrinkwrap") and "shrinkwrap" not in self._rules.kinds:
            remedy = "Use a version without; the operator can allow it (STENCIL_PACKAGE_SOURCES)."
            reason = "the package contains a lock of its own, which is not checked"
            self._fail("hasShrinkwrap", reason, remedy)
        if self._entry.get("inBundle"):
            return self._check_bundled(bundled)
        return self._check_source()

    def _fail(self, key: str, reason: str, remedy: str = REMEDY) -> None:
        strict_json.fail(self._text, (*self._at, key) if key else self._at, reason, remedy)

    def _check_types(self) -> None:
        for key in BOOLEANS:
            if type(self._entry.get(key, False)) is not bool:
                self._fail(key, "must be true or false")
        for key in PLATFORMS:
            value = self._entry.get(key, "")
            if not isinstance(value, str) and not _is_texts(value):
                self._fail(key, "must be a text or a list of texts")
        bundles = self._entry.get("bundleDependencies", False)
        if type(bundles) is not bool and not _is_texts(bundles):
            self._fail("bundleDependencies", "must be a list of names")

    def _check_place(self) -> None:
        """Accept paths like `node_modules/a/node_modules/@b/c`.

        If the rules allow the kinds "file", "link" or "workspace", accept other folders inside the
        tree as well.
        """
        if self._rules.kinds & {"file", "link", "workspace"} and FOLDER not in self._path:
            if self._path.startswith("/") or ".." in self._path.split("/"):
                self._fail("", "lies outside of the tree")
            return
        if len(self._path) > MAX_PATH:
            self._fail("", "lies too deep")
        names = self._path.removeprefix(FOLDER).split(f"/{FOLDER}")
        if not self._path.startswith(FOLDER) or any(map(npm_specs.name_fault, names)):
            self._fail("", "lies outside of node_modules, or in a folder without a valid name")

    def _check_link(self) -> None:
        if not self._rules.kinds & {"file", "link", "workspace"}:
            self._fail("link", "requires a link to a folder", npm_specs.REMEDY)
        resolved = self._entry.get("resolved")
        inside = isinstance(resolved, str) and not resolved.startswith("/") and ":" not in resolved
        if not inside or ".." in str(resolved).split("/"):
            self._fail("resolved", "leaves the tree")

    def _check_bundled(self, bundled: Collection[str]) -> None:
        """Check a bundled package: a package around it bundles it, and only that one has a hash."""
        if self._path not in bundled:
            self._fail("inBundle", "no package around it bundles it")
        self._check_version()
        for key in ("resolved", "integrity"):
            if key in self._entry:
                self._fail(key, "does not belong in the entry of a bundled package")

    def _check_version(self) -> None:
        version = self._entry.get("version")
        if not isinstance(version, str) or not npm_specs.VERSION.fullmatch(version[:257]):
            self._fail("version", "is not a version")

    def _check_source(self) -> None:
        self._check_version()
        elsewhere = self._check_resolved(str(self._entry["version"]))
        if elsewhere != "git":
            self._check_integrity()

    def _check_resolved(self, version: str) -> str:
        """Return the kind of the source (see `rules.KINDS`), or "" for the registry."""
        resolved = self._entry.get("resolved")
        if resolved is None:
            return ""
        if not isinstance(resolved, str):
            self._fail("resolved", "must be a text")
        address = str(resolved)
        name = str(self._entry.get("name") or self._path.rpartition(FOLDER)[2])
        form = f"{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        if any(address == f"{start.rstrip('/')}/{form}" for start in self._rules.registries):
            return ""
        kind = npm_specs.kind_of(address)
        if kind not in self._rules.kinds or not address.isascii() or not address.isprintable():
            remedy = (
                "Leave `resolved` out: `npm install --package-lock-only "
                "--omit-lockfile-registry-resolved`, or a refresh build. Registries that a lock "
                "may name are in STENCIL_LOCK_REGISTRIES."
            )
            self._fail("resolved", f"names an address: {address[:80]!r}", remedy)
        return kind

    def _check_integrity(self) -> None:
        value = self._entry.get("integrity")
        tokens = value.split() if isinstance(value, str) and len(value) <= 2000 else []
        known = [_digest(token) for token in tokens]
        if not tokens or "" in known:
            self._fail("integrity", "is not a hash of the package's archive")
        if "sha512" not in known:
            self._fail("integrity", f"has only {known[0]}, but sha512 is needed")


def _digest(token: str) -> str:
    """Return the algorithm of a token like "sha512-<base64>", or "" if the token is malformed."""
    algorithm, _, digest = token.partition("-")
    try:
        size = len(base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return ""
    return algorithm if DIGESTS.get(algorithm) == size else ""


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _bundled(packages: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the paths of the packages that npm takes from the archive of a package around them.

    These are the names in its `bundleDependencies`, everything below them, and what those depend on
    in the same folder. npm fetches every other package, whatever `inBundle` says, and needs a hash.
    The rule is that of npm's arborist (`Node.getBundler`).
    """
    children = defaultdict(list)
    for path in packages:
        if path:
            children[_outer(path)].append(path)
    found: set[str] = set()
    for outer, entry in packages.items():
        names = entry.get("bundleDependencies")
        if not outer or not _is_texts(names):
            continue
        pending = [f"{outer}/{FOLDER}{name}" for name in names or ()]
        while pending:
            path = pending.pop()
            if path in found or path not in packages:
                continue
            found.add(path)
            pending += children[path]
            for name in lockfile.needs(packages, path):
                place = lockfile.resolve(packages, path, name)
                if place is not None and _outer(place) == outer:
                    pending.append(place)
    return found


def _outer(path: str) -> str:
    """Return the path of the package whose node_modules holds a package."""
    return path.rpartition(FOLDER)[0].rstrip("/")


def _check_aliases(
    text: str, packages: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]
) -> None:
    """Refuse a package under another name unless a manifest has that alias.

    npm does not check this. A package cannot ask for its own alias, and a package that
    package.json does not lead to cannot ask for any.
    """
    root = {**packages.get("", {}), **manifest}
    by_override = set(package_json.override_aliases(root))
    by_package = {
        (lockfile.resolve(packages, asking, alias), name)
        for asking in lockfile.chains({**packages, "": root})
        for alias, name in package_json.aliases(packages[asking] if asking else root)
        if lockfile.resolve(packages, asking, alias) != asking
    }
    for path, entry in packages.items():
        name, place = entry.get("name"), path.rpartition(FOLDER)[2]
        if path and name is not None and name != place and not entry.get("link"):
            if (path, name) in by_package or (place, name) in by_override or FOLDER not in path:
                continue
            reason = f"is {str(name)[:80]!r} under another name, and no manifest has this alias"
            strict_json.fail(text, ("packages", path, "name"), reason, REMEDY)
