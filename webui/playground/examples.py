"""What somebody can begin with: the titled smoke cases of what is current, proven by its build."""

from collections.abc import Sequence
from dataclasses import dataclass

from execapp.models import Mode
from sandbox.session.outcome import State
from templatemgr import catalog
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template


@dataclass(frozen=True, kw_only=True)
class Example:
    """A submission that somebody can start from. Of its files, those that are text."""

    template: str
    name: str
    title: str
    mode: str
    files: tuple[tuple[str, str], ...]  # path, content
    args: tuple[str, ...]
    stdin: str
    fails: bool


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The examples of one template."""

    template: str
    title: str
    examples: tuple[Example, ...]


def shelves() -> list[Shelf]:
    """The examples of every template that has a healthy current version, by name."""
    rows = Template.objects.filter(current__health__state=HealthState.VERIFIED)
    found = [
        _shelf(row)
        for row in rows.select_related("current__template", "current__health").order_by("name")
    ]
    return [shelf for shelf in found if shelf.examples]


def find(
    found: Sequence[Shelf], *, template: str, name: str, fails: bool = False
) -> Example | None:
    """The example of this name; else the template's first test that ends so; else any example."""
    wanted = template.partition("@")[0]
    mine = [each for shelf in found if shelf.template == wanted for each in shelf.examples]
    others = [] if wanted else [each for shelf in found for each in shelf.examples]
    named = [each for each in (*mine, *others) if each.name == name]
    tests = [each for each in (*mine, *others) if each.mode == Mode.TEST and each.fails == fails]
    return next(iter((*named, *tests, *mine, *others)), None)


def to_show(found: Sequence[Shelf], template: str) -> Example | None:
    """What shows most of a template in one answer: a test that fails beside one that passes."""
    mine = [each for shelf in found if shelf.template == template for each in shelf.examples]
    return next((each for each in mine if each.mode == Mode.TEST and each.fails), None)


def _shelf(row: Template) -> Shelf:
    try:
        cases = catalog.runtime(row.current).examples if row.current else ()
    except TemplateError:  # what it keeps cannot be read: doctor and verification say so
        cases = ()
    return Shelf(
        template=row.name, title=row.title, examples=tuple(_example(row.name, c) for c in cases)
    )


def _example(template: str, case: SmokeCase) -> Example:
    submission = case.submission
    return Example(
        template=template,
        name=case.name,
        title=case.title or case.name,
        mode=submission.mode,
        files=tuple(
            (file.path, file.content.decode("utf-8", "replace")) for file in submission.files
        ),
        args=submission.args,
        stdin=submission.stdin.decode("utf-8", "replace"),
        fails=case.expect.state != State.SUCCEEDED,
    )
