"""Security checks of a definition before a build.

A definition configures npm, pip, bubblewrap and Python, and every user with the right to build can
write a definition. Therefore the sizes of names and texts are limited, paths are validated,
variables and limits must respect the operator's rules, and each file that a tool reads must first
pass its strict reader.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from packaging.utils import canonicalize_name

from sandbox.session.paths import check_paths
from templatemgr.definitions import native, readers, source_files
from templatemgr.definitions.definition import Definition
from templatemgr.definitions.readers import FileError, Rules, environment, faults, npm_specs
from templatemgr.definitions.readers.rules import setting
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.definitions.source_files import FILE
from templatemgr.definitions.toml import line_of
from templatemgr.errors import DefinitionError

MAX_ITEMS = 1_000  # of a list
MAX_TEXT = 500  # characters of a title, of a summary, of an item
MAX_COMMAND = 64
MAX_CASES = 100
MAX_CASE_BYTES = 4 * 1024 * 1024
MAX_PARTS = 16  # shared objects of [native]
MAX_SOURCES = 64  # files that the compiler sees for one of them
MAX_SOURCE_BYTES = 1024 * 1024
MAX_STARS = 2  # per part of a glob; also the maximum number of `**` in the glob
# Top-level names that the package manager, Python or Node reads automatically.
RESERVED: Mapping[str, tuple[str, ...]] = {
    "npm": (
        "node_modules", "npm-shrinkwrap.json", "yarn.lock", "binding.gyp", "bunfig.toml",
        "pnpm-lock.yaml",
    ),
    "pip": (
        "bin", "lib", "lib64", "include", "pip.conf", "pip.ini", "pyvenv.cfg", "pyproject.toml",
        "setup.py", "setup.cfg",
    ),
}  # fmt: skip
# Parts of the paths in [native]: the compiler and its messages get them as they are.
_NATIVE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
PLACEHOLDERS = {"npm": ("{arch}",), "pip": ("{site}",)}


def check(definition: Definition, rules: Rules, *, without: Collection[str] = ()) -> None:
    """Raise DefinitionError for the first fault of a definition.

    The content of the files named in `without` is not checked.
    """
    _check_texts(definition)
    _check_paths(definition)
    _check_native(definition)
    _check_packages(definition)
    _check_modes(definition)
    _check_env(definition)
    _check_variables(definition)
    _check_limits(definition, rules)
    _check_cases(definition)
    _check_files(definition, rules, without)


def check_files(root: Path, builder: str, names: Iterable[str], rules: Rules) -> None:
    """Check the named files of a folder with their strict readers; skip missing files.

    Use it also for files that a tool of the build has just written. Raises DefinitionError.
    """
    known = readers.names(builder)
    present = [name for name in known if (root / name).is_file()]
    contents = {name: source_files.read(root / name, shown=name) for name in present}
    for name in names:
        if name in contents:
            _check_file(root, builder, name, contents, rules)


def _check_file(
    root: Path, builder: str, name: str, contents: Mapping[str, bytes], rules: Rules
) -> None:
    try:
        readers.check(builder, name, contents, rules)
    except FileError as error:
        text = contents[name].decode("utf-8", "replace")
        raise DefinitionError(
            f"{root.name}/{name}",
            error.key,
            error.reason,
            line=error.line,
            remedy=error.remedy,
            excerpt=faults.excerpt(text, error.line),
        ) from None


def _check_files(definition: Definition, rules: Rules, without: Collection[str]) -> None:
    names = [name for name in readers.names(definition.builder) if name not in without]
    check_files(definition.root, definition.builder, names, rules)


def _fail(
    definition: Definition, key: str, reason: str, remedy: str = "", file: str = FILE
) -> NoReturn:
    path = definition.root / file
    line = line_of(path, key)
    text = source_files.read(path, shown=file).decode("utf-8", "replace")
    raise DefinitionError(
        f"{definition.root.name}/{file}",
        key,
        reason,
        line=line,
        remedy=remedy,
        excerpt=faults.excerpt(text, line),
    )


def _check_texts(definition: Definition) -> None:
    for key, text in (("title", definition.title), ("summary", definition.summary)):
        if len(text) > MAX_TEXT or not text.isprintable():
            _fail(definition, key, f"must be at most {MAX_TEXT} characters that can be shown")


def _check_paths(definition: Definition) -> None:
    lists: dict[str, Collection[str]] = {
        "files": definition.files,
        "links": definition.links,
        "prune": definition.prune,
        "toolchain": (*definition.toolchain, *definition.toolchain.values()),
        "install_scripts": definition.install_scripts,
        "cache.submissions": definition.cache_submissions,
    }
    for key, items in lists.items():
        if len(items) > MAX_ITEMS:
            _fail(definition, key, f"holds more than {MAX_ITEMS} items")
        for item in items:
            _check_path(definition, key, item)
    reserved = RESERVED[definition.builder]
    for path in definition.files:
        if path.partition("/")[0].lower() in reserved:
            remedy = "Rename it: tools read a file of that name automatically."
            _fail(definition, "files", f"a definition may not contain {path!r}", remedy)
    for pattern in definition.prune:
        _check_glob(definition, pattern)
    for target in (*definition.toolchain, *definition.toolchain.values()):
        bare = target
        for placeholder in PLACEHOLDERS[definition.builder]:
            bare = bare.replace(placeholder, "")
        if "{" in bare or "}" in bare:
            _fail(definition, "toolchain", f"{target!r} has an unknown placeholder")


def _check_native(definition: Definition) -> None:
    if len(definition.native) > MAX_PARTS:
        _fail(definition, "native", f"holds more than {MAX_PARTS} parts", "Join some of them.")
    for target, sources in definition.native.items():
        _check_target(definition, target)
        _check_sources(definition, target, sources)


def _check_target(definition: Definition, target: str) -> None:
    key = f"native.{target}"
    _check_native_name(definition, key, target)
    if not target.endswith(".so"):
        _fail(definition, key, "is no name of a shared object", "Let the name end with .so.")
    if target.partition("/")[0].lower() in RESERVED[definition.builder]:
        remedy = "Choose another folder: the packages are installed into this folder."
        _fail(definition, key, f"a definition may not write to {target!r}", remedy)
    others = (*definition.files, *definition.toolchain, *(set(definition.native) - {target}))
    for other in others:
        if f"{other}/".startswith(f"{target}/") or target.startswith(f"{other}/"):
            reason = f"would replace {other!r}, which is in the tree already"
            _fail(definition, key, reason, "Choose a path where nothing is yet.")


def _check_sources(definition: Definition, target: str, sources: tuple[str, ...]) -> None:
    key = f"native.{target}"
    for source in sources:
        _check_native_name(definition, key, source)
        if not source.endswith(".c"):
            _fail(definition, key, f"{source!r} is no source in C", "Name files that end with .c.")
    if len({source.rpartition("/")[0] for source in sources}) > 1:
        remedy = "Put them into one folder: the compiler sees no other."
        _fail(definition, key, "has sources of several folders", remedy)
    shown = native.visible(definition.files, sources[0])
    places = source_files.locate(definition.root)
    size = sum(places[path].stat().st_size for path in shown)
    if len(shown) > MAX_SOURCES or size > MAX_SOURCE_BYTES:
        reason = f"has more than {MAX_SOURCES} C files in its folder, or {MAX_SOURCE_BYTES} bytes"
        _fail(definition, key, reason, "Put the sources into a folder of their own.")


def _check_native_name(definition: Definition, key: str, path: str) -> None:
    if len(path) > MAX_TEXT or not all(map(_NATIVE_NAME.fullmatch, path.split("/"))):
        remedy = "Use letters, digits, '_', '.' and '-', beginning with a letter, a digit or '_'."
        _fail(definition, key, f"{path[:60]!r} has a name that is not allowed", remedy)


def _check_path(definition: Definition, key: str, path: str) -> None:
    if len(path) > MAX_TEXT or not path.isprintable():
        _fail(definition, key, f"{path[:60]!r} is too long or cannot be shown")
    if path.startswith("-"):
        _fail(definition, key, f"{path[:60]!r} looks like an option", "Write a relative path.")


def _check_glob(definition: Definition, pattern: str) -> None:
    parts = pattern.split("/")
    stars = [part.count("*") for part in parts if part != "**"]
    if parts.count("**") > MAX_STARS or max(stars, default=0) > MAX_STARS:
        remedy = f"Use at most {MAX_STARS} stars in a part, and `**` at most as often."
        _fail(definition, "prune", f"{pattern[:60]!r} takes too long to match", remedy)


def _check_packages(definition: Definition) -> None:
    for name in definition.install_scripts:
        if definition.builder == "npm":
            wrong = bool(npm_specs.name_fault(name))
        else:
            plain = name.replace("_", "-").replace(".", "-").lower()
            wrong = canonicalize_name(name) != plain or not plain.replace("-", "").isalnum()
        if wrong or not name.isascii():
            _fail(definition, "install_scripts", f"{name[:60]!r} is not the name of a package")


def _check_modes(definition: Definition) -> None:
    for name, mode in definition.modes.items():
        key = f"{name}.command"
        if len(mode.command) > MAX_COMMAND:
            _fail(definition, key, f"holds more than {MAX_COMMAND} words")
        _check_path(definition, key, mode.command[0])
        for word in mode.command:
            if len(word) > MAX_TEXT or not word.isprintable():
                _fail(definition, key, f"{word[:60]!r} is too long or cannot be shown")
        for key, text in ((f"{name}.entry", mode.entry), (f"{name}.pattern", mode.pattern)):
            if text is not None:
                _check_path(definition, key, text)


def _check_env(definition: Definition) -> None:
    fault = environment.check_definition(definition.env)
    if fault is not None:
        name, reason = fault
        key = f"env.{name}" if name else "env"
        remedy = "Leave it out. What [env] may set is in docs/reference/definitions.md."
        _fail(definition, key, reason, remedy)


def _check_variables(definition: Definition) -> None:
    """Refuse variables that are set before the runner starts and affect Stencil's programs."""
    variables = definition.variables
    for key, names in (
        ("start", variables.start),
        ("anew", variables.anew),
        ("refused", variables.refused),
    ):
        if len(names) > MAX_ITEMS or any(len(name) > environment.MAX_NAME_BYTES for name in names):
            _fail(definition, f"variables.{key}", "holds too many names, or too long ones")
    for key, names in (("start", variables.start), ("anew", variables.anew)):
        for name in names:
            if environment.may_mean_ours(name):
                reason = f"{name!r} is read by the loader, the C library or Stencil"
                _fail(definition, f"variables.{key}", reason, "Leave it out.")
    for name, why in variables.refused.items():
        if len(why) > MAX_TEXT or not why.isprintable():
            _fail(definition, f"variables.refused.{name}", "is too long or cannot be shown")


def _check_limits(definition: Definition, rules: Rules) -> None:
    for limit, ceiling in rules.ceilings.values().items():
        value = getattr(definition.maximum, limit)
        if value > ceiling:
            reason = f"{value} is over the ceiling of this machine, {ceiling} ({setting(limit)})"
            remedy = "Lower it, or have the operator raise the ceiling."
            _fail(definition, f"limits.maximum.{limit}", reason, remedy)


def _check_cases(definition: Definition) -> None:
    if len(definition.smoke) > MAX_CASES:
        _fail(definition, "", f"has more than {MAX_CASES} smoke cases")
    for case in definition.smoke:
        _check_case(definition, case)


def _check_case(definition: Definition, case: SmokeCase) -> None:
    file = f"smoke/{case.name}/case.toml"
    submission = case.submission
    name = case.name.replace("-", "").replace("_", "").replace(".", "")
    if not (name.isalnum() and case.name.isascii() and len(case.name) <= 64):
        _fail(definition, "", "the name of its folder may have letters, digits, '-', '_' and '.'",
              file=file)  # fmt: skip
    if len(case.title or "") > MAX_TEXT or not (case.title or "").isprintable():
        _fail(definition, "title", f"must be at most {MAX_TEXT} characters", file=file)
    for _, reason in check_paths([source.path for source in submission.files]):
        _fail(definition, "", f"a path under src/ is refused: {reason}", file=file)
    size = len(submission.stdin) + sum(len(source.content) for source in submission.files)
    if size > MAX_CASE_BYTES or len(submission.args) > MAX_COMMAND:
        reason = f"takes more than {MAX_CASE_BYTES} bytes or {MAX_COMMAND} arguments"
        _fail(definition, "", reason, file=file)
    if any(len(argument) > MAX_TEXT for argument in submission.args):
        _fail(definition, "args", f"holds one of more than {MAX_TEXT} characters", file=file)
