"""The playground: files in, result out, without a token and without leaving the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render

from execapp.errors import ExecutionError, InvalidRequestError
from execapp.models import Execution, Mode
from execapp.services import checks, history, submissions
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template, Version
from webui import examples, results
from webui.views import guards
from webui.views.executions import base, viewer

WAIT_SECONDS = 20.0
VERSIONS_SHOWN = 100
MOST_FILES = 50  # editors on a page; the API takes more


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as it stands in its editor."""

    path: str = ""
    content: str = ""

    @property
    def blank(self) -> bool:
        """An editor that nobody has used."""
        return not self.path.strip() and not self.content.strip()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the form holds, right or wrong."""

    template: str = ""
    mode: str = Mode.TEST
    files: Sequence[File] = ()
    entry: str = ""
    args: str = ""
    stdin: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong, in words that name the field as the page does."""

    where: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """A version that can be chosen."""

    value: str
    text: str


@guards.page_for("execapp.submit_execution")
def playground(request: HttpRequest) -> HttpResponse:
    """The form, filled with an example or with what an execution was (`from=<id>`)."""
    source = request.GET.get("from", "")
    if source:
        execution = history.get(execution_id=source, viewer=viewer(request))
        draft = _of_execution(execution)
    else:
        draft = _of_example(request.GET.get("template", ""), request.GET.get("example", ""))
    return render(request, "webui/playground/playground.html", _context(draft))


@guards.change("execapp.submit_execution")
def run(request: HttpRequest) -> HttpResponse:
    """Run the draft, or change its list of files; htmx gets the part that changed."""
    draft = read(request.POST)
    htmx = bool(request.headers.get("HX-Request"))
    action = request.POST.get("action", "run")
    if action != "run":
        draft = replace(draft, files=_edited(draft.files, action))
        name = "_files" if htmx else "playground"
        return render(request, f"webui/playground/{name}.html", _context(draft))
    execution, problems = submit(draft, client=guards.actor(request))
    context = {"problems": problems, "htmx": htmx}
    if execution is not None:
        context |= {"execution": execution, "result": results.result(execution, base(request))}
    if htmx:
        return render(request, "webui/playground/_result.html", context)
    context |= _context(draft)
    status = 422 if problems else 200
    return render(request, "webui/playground/playground.html", context, status=status)


def submit(draft: Draft, *, client: str) -> tuple[Execution | None, list[Problem]]:
    """The execution of a draft once it has ended, or what is wrong with the draft."""
    kept = [(number, file) for number, file in enumerate(draft.files, 1) if not file.blank]
    try:
        made, _ = submissions.submit(
            client=client,
            token=None,
            template=draft.template,
            mode=draft.mode,
            files=[
                {"path": file.path.strip(), "content": file.content, "encoding": "utf8"}
                for _, file in kept
            ],
            entry=draft.entry or None,
            args=[line for line in draft.args.split("\n") if line],
            stdin=draft.stdin,
        )
    except InvalidRequestError as error:
        numbers = [number for number, _ in kept]
        return None, [_problem(each.path, each.message, numbers) for each in error.fields]
    except (ExecutionError, TemplateError) as error:
        return None, [Problem(where="", message=error.message)]
    return submissions.wait(execution_id=made.pk, seconds=WAIT_SECONDS), []


def read(given: QueryDict) -> Draft:
    """The form. Browsers end lines with CR LF; here they end as they do in an editor."""
    paths, contents = given.getlist("path"), given.getlist("content")
    return Draft(
        template=given.get("template", ""),
        mode=given.get("mode", ""),
        files=[
            File(path=path, content=_lines(content))
            for path, content in zip(paths, contents, strict=False)
        ],
        entry=given.get("entry", "").strip(),
        args=_lines(given.get("args", "")),
        stdin=_lines(given.get("stdin", "")),
    )


def options(wanted: str = "") -> list[Option]:
    """What can be run: each template's current version, then every healthy one by number."""
    templates = Template.objects.select_related("current").order_by("name")
    made = [
        Option(value=each.name, text=f"{each.name} · current ({each.current.number})")
        for each in templates
        if each.current is not None
    ]
    healthy = Version.objects.filter(health__state=HealthState.VERIFIED)
    rows = healthy.order_by("template__name", "-number").values_list("template__name", "number")
    made += [
        Option(value=f"{name}@{number}", text=f"{name} · version {number}")
        for name, number in rows[:VERSIONS_SHOWN]
    ]
    if "@" in wanted and wanted not in {option.value for option in made}:
        made.append(Option(value=wanted, text=wanted))
    return made


def _of_example(template: str, name: str) -> Draft:
    """The example of this name, or one that fits the template; an empty editor without any."""
    example = examples.find(examples.shelves(), template=template, name=name)
    if example is None:
        return Draft(template=template, files=[File()])
    return Draft(
        template=template or example.template,
        mode=example.mode,
        files=[File(path=path, content=content) for path, content in example.files],
        args="\n".join(example.args),
        stdin=example.stdin,
    )


def _of_execution(execution: Execution) -> Draft:
    """What was submitted, as far as it is text."""
    contents = ((file["path"], checks.content_of(file) or b"") for file in execution.files)
    return Draft(
        template=f"{execution.template_name}@{execution.version.number}",
        mode=execution.mode,
        files=[File(path=path, content=data.decode("utf-8", "replace")) for path, data in contents],
        entry=execution.entry,
        args="\n".join(execution.args),
        stdin=execution.stdin,
    )


def _context(draft: Draft) -> dict[str, Any]:
    return {
        "draft": draft,
        "options": options(draft.template),
        "modes": Mode.choices,
        "shelves": examples.shelves(),
        "most_files": MOST_FILES,
    }


def _edited(files: Sequence[File], action: str) -> list[File]:
    """The files after "add" or "remove 2"; anything else changes nothing."""
    if action == "add" and len(files) < MOST_FILES:
        return [*files, File()]
    word, _, number = action.partition(" ")
    if word == "remove" and number.isascii() and number.isdecimal():
        return [file for at, file in enumerate(files, 1) if str(at) != number]
    return list(files)


def _problem(path: str, message: str, numbers: Sequence[int]) -> Problem:
    """`files.0.path` is "File 1" of the page, which may have blank editors between."""
    match = re.fullmatch(r"files\.([0-9]+)\..+", path)
    if match and int(match[1]) < len(numbers):
        return Problem(where=f"File {numbers[int(match[1])]}", message=message)
    match = re.fullmatch(r"args\.([0-9]+)", path)
    if match:
        return Problem(where=f"Argument {int(match[1]) + 1}", message=message)
    names = {"files": "Files", "mode": "Mode", "args": "Arguments", "stdin": "Standard input"}
    return Problem(where=names.get(path, path.capitalize()), message=message)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
