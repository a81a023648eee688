"""Strict reader of `package-lock.json`: registry sources only, each with a sha512 hash.

npm treats each entry of `packages` as the manifest of a package and resolves its dependencies.
Therefore every entry must pass the checks of `package.json` as well. The format is npm's
(lockfileVersion 2 and 3). The top-level table `dependencies` of older formats is not read here, so
a lock with a non-empty one is refused.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

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
    for path, entry in packages.items():
        at = ("packages", path)
        # These two keys are refused in the root entry only. In the entry of a package they describe
        # the content of its archive.
        own = {**entry, "bundleDependencies": None, "workspaces": None} if path else entry
        package_json.check(text, at, own, rules)
        if path:
            _Entry(text, at, path, entry, rules).check(packages)
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

    def check(self, packages: Mapping[str, Mapping[str, Any]]) -> None:
        for key in self._entry:
            if key not in ENTRY:
                self._fail(key, "is not taken from a lock")
        if self._entry.get("link"):
            return self._check_link()
        self._check_place()
        if self._entry.get("hasShrinkwrap") and "shrinkwrap" not in self._rules.kinds:
            remedy = "Take a version without; the operator can allow it (STENCIL_PACKAGE_SOURCES)."
            self._fail("hasShrinkwrap", "the package brings a lock that nobody checked", remedy)
        if self._entry.get("inBundle"):
            return self._check_bundled(packages)
        return self._check_source()

    def _fail(self, key: str, reason: str, remedy: str = REMEDY) -> None:
        strict_json.fail(self._text, (*self._at, key) if key else self._at, reason, remedy)

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
            self._fail("", "lies deeper than any file can")
        names = self._path.removeprefix(FOLDER).split(f"/{FOLDER}")
        if not self._path.startswith(FOLDER) or any(map(npm_specs.name_fault, names)):
            self._fail("", "lies outside of node_modules, or under what is no name")

    def _check_link(self) -> None:
        if not self._rules.kinds & {"file", "link", "workspace"}:
            self._fail("link", "asks for a link to a folder", npm_specs.REMEDY)
        resolved = self._entry.get("resolved")
        inside = isinstance(resolved, str) and not resolved.startswith("/") and ":" not in resolved
        if not inside or ".." in str(resolved).split("/"):
            self._fail("resolved", "leaves the tree")

    def _check_bundled(self, packages: Mapping[str, Mapping[str, Any]]) -> None:
        """Check a bundled package: a package around it bundles it, and only that one has a hash."""
        above = self._path
        while FOLDER in above:
            above = above.rpartition(FOLDER)[0].rstrip("/")
            outer = packages.get(above, {}) if above else {}
            if outer.get("bundleDependencies") and not outer.get("inBundle"):
                break
        else:
            self._fail("inBundle", "no package around it brings it")
        for key in ("resolved", "integrity"):
            if key in self._entry:
                self._fail(key, "does not belong to a package that another one brings")

    def _check_source(self) -> None:
        version = self._entry.get("version")
        if not isinstance(version, str) or not npm_specs.VERSION.fullmatch(version[:257]):
            self._fail("version", "is no version")
        elsewhere = self._check_resolved(str(version))
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
            self._fail("integrity", "is no hash of the package's archive")
        if "sha512" not in known:
            self._fail("integrity", f"has {known[0]} alone, and sha512 is needed")


def _digest(token: str) -> str:
    """Return the algorithm of a token like "sha512-<base64>", or "" if the token is malformed."""
    algorithm, _, digest = token.partition("-")
    try:
        size = len(base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return ""
    return algorithm if DIGESTS.get(algorithm) == size else ""


def _check_aliases(
    text: str, packages: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]
) -> None:
    """Refuse a package under another name unless a manifest asks for that alias.

    npm does not check this.
    """
    asked = {
        pair for table in (*packages.values(), manifest) for pair in package_json.aliases(table)
    }
    for path, entry in packages.items():
        name, place = entry.get("name"), path.rpartition(FOLDER)[2]
        if path and name is not None and name != place and not entry.get("link"):
            if (place, name) in asked or FOLDER not in path:
                continue
            reason = f"is {str(name)[:80]!r} under another package's name, and nothing asks for it"
            strict_json.fail(text, ("packages", path, "name"), reason, REMEDY)
