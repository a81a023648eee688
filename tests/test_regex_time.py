"""Test that each of our patterns takes linear time on any text: decision 0015.

Every pattern in the packages is collected with its place and its method. A pattern that is built
at run time or that is not linear must be listed here, with the reason why no foreign text reaches
it.
"""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from templatemgr import builders
from templatemgr.builders import steps
from tests.regex_ambiguity import danger

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "sandbox", "templatemgr", "execapp", "webui")
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split")
# Patterns that are built at run time: the place, and the parts.
MADE_THERE = {
    "templatemgr/builders/steps.py": "the parts of REMEDIES, which are tested below",
    "templatemgr/redaction.py": "alternatives of literal texts, which are secrets of the machine",
}
# Not linear, and why that does no harm.
KNOWN: Mapping[str, str] = {
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)': "gives nothing back, and always ends",
}


@dataclass(frozen=True)
class Used:
    """A pattern, its place and the method that uses it; None if it is built at run time."""

    file: str
    line: int
    pattern: str | None
    method: str
    flags: int = 0

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def files() -> list[Path]:
    found = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return [file for file in found if "migrations" not in file.parts]


def trees() -> dict[str, ast.Module]:
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text()) for file in files()}


def methods_by_name(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return how each name is used: NAME.search(…), module.NAME.fullmatch(…)."""
    found: dict[str, set[str]] = {}
    for module in modules.values():
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                found.setdefault(name, set()).add(node.attr)
    return found


def collected() -> list[Used]:
    modules = trees()
    names = methods_by_name(modules)
    return [used for file, module in modules.items() for used in of_module(file, module, names)]


def of_module(file: str, module: ast.Module, names: Mapping[str, set[str]]) -> Iterator[Used]:
    parents = {child: node for node in ast.walk(module) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id == "re_path":
            yield Used(file, node.lineno, constant(node.args[0], module), "search")
        owner = function.value if isinstance(function, ast.Attribute) else None
        name = function.attr if isinstance(function, ast.Attribute) else ""
        if not isinstance(owner, ast.Name) or owner.id != "re" or name not in (*METHODS, "compile"):
            continue
        text, flags = constant(node.args[0], module), flags_of(node, name)
        used = {name} if name in METHODS else uses(node, parents, names)
        for method in sorted(used or {"search"}):
            yield Used(file, node.lineno, text, method, flags)


def uses(
    node: ast.AST, parents: Mapping[ast.AST, ast.AST], names: Mapping[str, set[str]]
) -> set[str]:
    """Return how the result of `re.compile` is used: at once, or by the name it is given."""
    above = parents[node]
    if isinstance(above, ast.Attribute) and above.attr in METHODS:
        return {above.attr}
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        return names.get(above.targets[0].id, set())
    return set()


def constant(node: ast.AST, module: ast.Module) -> str | None:
    """Return a pattern that stands in the code; each value in an f-string counts as one letter."""
    if isinstance(node, ast.Constant):
        text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        return text if isinstance(text, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = [constant(v, module) if isinstance(v, ast.Constant) else "x" for v in node.values]
        return None if None in parts else "".join(filter(None, parts))
    if isinstance(node, ast.Name):
        for item in module.body:
            if isinstance(item, ast.Assign) and getattr(item.targets[0], "id", "") == node.id:
                return constant(item.value, module)
    return None


def flags_of(node: ast.Call, function: str) -> int:
    given = [*node.args[1 if function == "compile" else 2 :], *(k.value for k in node.keywords)]
    words = {n.attr for value in given for n in ast.walk(value) if isinstance(n, ast.Attribute)}
    return sum(int(getattr(re, word)) for word in words if word.isupper())


ALL = collected()


@pytest.mark.parametrize("used", ALL, ids=lambda used: used.place)
def test_every_pattern_is_linear(used: Used) -> None:
    if used.pattern is None:
        assert used.file in MADE_THERE, f"{used.place}: write the pattern where it is used"
        return
    found = danger(used.pattern, used.flags, method=used.method)
    assert not found or used.pattern in KNOWN, f"{used.place}: {found}: {used.pattern}"


def test_there_are_patterns_to_test() -> None:
    assert len(ALL) > 30
    assert {used.file for used in ALL if used.pattern is None} == set(MADE_THERE)
    assert {used.pattern for used in ALL} >= set(KNOWN)
    assert any(used.method == "fullmatch" for used in ALL)


def remedies() -> list[str]:
    found: set[str] = set()
    for module in pkgutil.walk_packages(builders.__path__, "templatemgr.builders."):
        known = getattr(importlib.import_module(module.name), "REMEDIES", {})
        found |= {part for pattern in known for part in pattern.split(steps.THEN)}
    return sorted(found)


@pytest.mark.parametrize("part", remedies())
def test_every_part_of_a_remedys_pattern_is_linear(part: str) -> None:
    assert danger(part) == ""


def test_no_text_is_matched_by_another_engine() -> None:
    """`fnmatch` and Django's validators would make patterns that this test cannot collect."""
    for file, module in trees().items():
        names = {n.attr for n in ast.walk(module) if isinstance(n, ast.Attribute)}
        names |= {n.id for n in ast.walk(module) if isinstance(n, ast.Name)}
        odd = names & {"RegexValidator", "RegexField", "fnmatch", "fnmatchcase"}
        assert not odd, f"{file}: {odd}"


# The detector itself


@pytest.mark.parametrize(
    ("pattern", "method", "kind"),
    [
        (r"(^|\s+)#.*", "search", "polynomial"),
        (r"\s*\\\n\s*", "sub", "polynomial"),
        (r"\s+$", "search", "polynomial"),
        (r"\d+px", "search", "polynomial"),
        (r"a*a*b", "match", "polynomial"),
        (r".*foo.*bar", "match", "polynomial"),
        (r"(?P<text>.+?) ; (\((?P<marker>.+)\) and )?x", "match", "polynomial"),
        (r"\b40[13]\b.*(Unauthorized|Forbidden)", "search", "polynomial"),
        (r"<time[^>]*>.*?</time>", "sub", "polynomial"),
        (r"\w+\d+", "fullmatch", "polynomial"),
        (r"\s*(.*?)\s*", "fullmatch", "polynomial"),
        (r"(a+)+b", "match", "exponential"),
        (r"(a.|ab)*c", "match", "exponential"),
        (r"(a|aa)+$", "match", "exponential"),
        (r"([a-z]+\d*)+!", "match", "exponential"),
        (r"(\w+\s?)*$", "match", "exponential"),
        (r"(a*)*b", "match", "exponential"),
        (r"(.)\1+x", "match", "unknown"),
        (r"#.*", "search", ""),
        (r"[\s,]+", "split", ""),
        (r"\d+", "search", ""),
        (r"^\s+x", "search", ""),
        (r"\d+px", "match", ""),
        (r"\b\d+(\.\d+)? ms\b", "sub", ""),
        (r"[a-z]+(-[a-z]+)*", "fullmatch", ""),
        (r"(\d+)\.(\d+)\.(\d+)", "fullmatch", ""),
        (r"\x1b\[[0-9;]*m", "sub", ""),
        (r"--hash=sha256:([0-9a-f]+)", "findall", ""),
        (r"[a-z]{0,63}x", "search", ""),
    ],
)
def test_the_detector_tells_one_kind_from_the_other(pattern: str, method: str, kind: str) -> None:
    assert danger(pattern, method=method).partition(":")[0] == kind
