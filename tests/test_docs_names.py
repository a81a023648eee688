"""Test that the docs name only existing files, modules, decisions and sections."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest
from django.apps import apps

from tests.conftest import ROOT

DECISIONS = ROOT / "docs/decisions"
PACKAGES = "benchmarks|core|execapp|sandbox|templatemgr|webui"
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "tests/README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
PATH = re.compile(
    rf"`((?:{PACKAGES}|tests|docs|scripts|templates_runtime|requirements)/[\w./*-]*)`"
)
DOTTED = re.compile(rf"(?<![\w./])((?:{PACKAGES})(?:\.\w+)+)(?![\w/])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITED = re.compile(r"\b[Dd]ecisions?\s+(\d{4})\b")
CODE_BLOCK = re.compile(r"^```python.*?^```", re.DOTALL | re.MULTILINE)  # guides test their own
NUMBERED_LINK = re.compile(r"\[(\d{4})\]\(([^)]+)\)")
FILE_SUFFIXES = {"md", "py", "svg", "json", "toml", "sqlite3"}


def name_of(page: Path) -> str:
    """Return a page's path in the repository, as the id of its test."""
    return page.relative_to(ROOT).as_posix()


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def sources() -> list[Path]:
    """Return the text files of the repository outside of `docs/` that can cite a decision."""
    argv = ["git", "ls-files", "*.py", "*.mjs", "*.cjs", "*.toml", "Makefile"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split() if (path := ROOT / name).exists()]


def exists_as_name(dotted: str) -> bool:
    """Say whether a module, an attribute, or a quoted name of Django's (`app.codename`) exists."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return _quoted(parts[0], dotted)
            found = getattr(found, part)
        return True
    return False


def _quoted(app: str, dotted: str) -> bool:
    """Say whether this is a permission of a model, or a string in the app: the id of a check."""
    models = apps.get_app_config(app).get_models()
    if dotted.split(".", 1)[1] in {f"view_{model._meta.model_name}" for model in models}:
        return True
    wanted = (f'"{dotted}"', f'"{dotted.split(".", 1)[1]}"')
    return any(
        any(text in path.read_text(encoding="utf-8") for text in wanted)
        for path in (ROOT / app).rglob("*.py")
    )


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_path_exists(document: Path) -> None:
    for path in PATH.findall(document.read_text(encoding="utf-8")):
        found = any(ROOT.glob(path.rstrip("/")))
        assert found or path.startswith("templates_runtime/lua"), path


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_dotted_name_exists(document: Path) -> None:
    text = CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))
    for dotted in DOTTED.findall(text):
        if dotted.rsplit(".", 1)[1] not in FILE_SUFFIXES:
            assert exists_as_name(dotted), dotted


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_its_section(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def decisions() -> dict[str, Path]:
    """Return the pages of decisions by number."""
    return {page.name[:4]: page for page in DECISIONS.glob("[0-9]*.md")}


def test_the_index_lists_every_decision_with_its_title() -> None:
    row = re.compile(r"^\| (\d{4}) \| \[(.+?)\]\((.+?)\) \| .+ \|$", re.MULTILINE)
    listed = row.findall((DECISIONS / "README.md").read_text(encoding="utf-8"))
    titles = [
        (number, page.read_text(encoding="utf-8").splitlines()[0], page.name)
        for number, page in sorted(decisions().items())
    ]
    assert [(number, f"# {number}: {title}", file) for number, title, file in listed] == titles


def test_every_decision_that_is_cited_exists() -> None:
    known = decisions()
    for source in [*sources(), *PAGES]:
        for number in CITED.findall(source.read_text(encoding="utf-8")):
            assert number in known, f"{name_of(source)}: {number}"
    for page in PAGES:
        for number, target in NUMBERED_LINK.findall(page.read_text(encoding="utf-8")):
            assert Path(target).name == known[number].name, f"{name_of(page)}: {number}"


def test_the_code_cites_every_decision() -> None:
    cited = {
        number
        for source in sources()
        for number in CITED.findall(source.read_text(encoding="utf-8"))
    }
    assert sorted(cited) == sorted(decisions())


def test_the_page_on_settings_lists_every_setting() -> None:
    files = sorted((ROOT / "webui").glob("*.py"))
    read = re.compile(r'"(STENCIL_[A-Z_]+)"')
    names = {name for file in files for name in read.findall(file.read_text(encoding="utf-8"))}
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r"`(STENCIL_[A-Z_]+)`", page))


def test_every_page_that_code_refers_to_exists() -> None:
    page = re.compile(r"\bdocs/[\w/-]+\.md\b")
    for source in sources():
        for name in page.findall(source.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{name_of(source)}: {name}"
