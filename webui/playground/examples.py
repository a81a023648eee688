"""Examples for the playground: the titled smoke cases of the current versions.

The build of a version has run each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from execapp.models import Mode
from sandbox.session.outcome import State
from templatemgr import version_runtimes
from templatemgr.definitions.smoke import SmokeCase
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template


@dataclass(frozen=True, kw_only=True)
class Example:
    """A submission to begin with; `fails` if its tests fail on purpose."""

    template: str
    name: str
    title: str
    mode: str
    files: tuple[tuple[str, str], ...]  # path, content
    args: tuple[str, ...]
    stdin: str
    fails: bool


@dataclass(frozen=True, kw_only=True)
class ExampleGroup:
    """The examples of one template."""

    template: str
    title: str
    examples: tuple[Example, ...]


def example_groups() -> list[ExampleGroup]:
    """Return the examples of each template with a healthy current version, by name."""
    rows = Template.objects.filter(current__health__state=HealthState.VERIFIED)
    found = [
        _group(row)
        for row in rows.select_related("current__template", "current__health").order_by("name")
    ]
    return [group for group in found if group.examples]


def find(
    found: Sequence[ExampleGroup], *, template: str, name: str, fails: bool = False
) -> Example | None:
    """Return the example of this name, else the first test that ends so, else any example."""
    wanted = template.partition("@")[0]
    mine = [each for group in found if group.template == wanted for each in group.examples]
    others = [] if wanted else [each for group in found for each in group.examples]
    named = [each for each in (*mine, *others) if each.name == name]
    tests = [each for each in (*mine, *others) if each.mode == Mode.TEST and each.fails == fails]
    return next(iter((*named, *tests, *mine, *others)), None)


def to_show(found: Sequence[ExampleGroup], template: str) -> Example | None:
    """Return the example that shows most: a test that fails beside one that passes."""
    mine = [each for group in found if group.template == template for each in group.examples]
    return next((each for each in mine if each.mode == Mode.TEST and each.fails), None)


def _group(row: Template) -> ExampleGroup:
    try:
        cases = version_runtimes.runtime_of(row.current).examples if row.current else ()
    except TemplateError:  # its files cannot be read; doctor and verification report it
        cases = ()
    return ExampleGroup(
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
