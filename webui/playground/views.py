"""The playground: files in, result out, without a token and without leaving the page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse

from core import parsing
from execapp import history
from execapp.api.http import waiting_room
from execapp.errors import ExecutionError, Field, InvalidRequestError
from execapp.limits import limits_to_json
from execapp.models import Execution, Mode
from execapp.requests import SubmissionRequest
from execapp.services import checks, submissions
from templatemgr import catalog
from templatemgr.errors import TemplateError
from templatemgr.models import HealthState, Template, Version
from webui.executions import result_page
from webui.executions.queries import viewer_of
from webui.http import HtmxHttpRequest, base_url
from webui.playground import examples, result_diff
from webui.shell import decorators

WAIT_SECONDS = 20.0
HELD, HELD_BY_ONE = 8, 2  # forms that wait at a time: each holds a thread of the web process
VERSIONS_SHOWN = 100
MOST = 10**15  # of a limit; what a template allows is checked where it is known
MOST_FILES = 50  # editors on a page; the API takes more


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as it stands in its editor."""

    path: str = ""
    content: str = ""
    encoding: str = "utf8"  # "base64" for what is no text: it is kept, and not edited

    @property
    def blank(self) -> bool:
        """An editor that nobody has used."""
        return not self.path.strip() and not self.content.strip()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the form holds, right or wrong."""

    template: str = ""
    beside: str = ""  # another version, to run the same on; empty for none
    mode: str = Mode.TEST
    files: Sequence[File] = ()
    entry: str = ""
    args: str = ""
    stdin: str = ""
    env: str = ""  # these three: name=value, one a line
    limits: str = ""
    labels: str = ""

    @property
    def more(self) -> bool:
        """Whether anything is set besides the files."""
        return bool(self.args or self.stdin or self.entry or self.env or self.limits or self.labels)


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


@decorators.page_for("execapp.submit_execution")
def playground(request: HttpRequest) -> HttpResponse:
    """The form, filled with an example or with what an execution was (`from=<id>`)."""
    source = request.GET.get("from", "")
    if source:
        execution = history.get(execution_id=source, viewer=viewer_of(request))
        draft = _of_execution(execution)
    else:
        draft = _of_example(
            template=request.GET.get("template", ""),
            example=request.GET.get("example", ""),
            ends=request.GET.get("ends", ""),
        )
    return render(request, "playground/playground.html", _context(draft))


@decorators.change("execapp.submit_execution")
def run(request: HtmxHttpRequest) -> HttpResponse:
    """Run the draft, or change its list of files; htmx gets the part that changed."""
    draft = read(request.POST)
    htmx = bool(request.htmx)
    action = request.POST.get("action", "run")
    if action != "run":
        draft = replace(draft, files=_edited(draft.files, action))
        name = "_files" if htmx else "playground"
        return render(request, f"playground/{name}.html", _context(draft))
    runs, problems = run_all(draft, client=decorators.actor(request))
    context: dict[str, Any] = {"problems": problems, "htmx": htmx}
    found = [result_page.result(execution, base_url(request)) for execution in runs]
    context |= {"results": found, "shared": f"{base_url(request)}{reverse('playground')}"}
    if len(runs) > 1:
        context["differences"] = result_diff.differences(*runs)
    if htmx:
        return render(request, "playground/_result.html", context)
    context |= _context(draft)
    status = 422 if problems else 200
    return render(request, "playground/playground.html", context, status=status)


def run_all(draft: Draft, *, client: str) -> tuple[list[Execution], list[Problem]]:
    """The executions of a draft once they have ended, or what is wrong with the draft.

    On two versions both wait in the queue at once, and both are waited for.
    """
    made: list[Execution] = []
    for template in dict.fromkeys(filter(None, (draft.template, draft.beside))):
        execution, problems = submit(replace(draft, template=template), client=client)
        if execution is None:
            return [], problems
        made.append(execution)
    if not made:  # no template chosen: the service says so
        return [], submit(draft, client=client)[1]
    return _waited(made, client), []


def _waited(made: list[Execution], client: str) -> list[Execution]:
    """Each once it has ended; as it is when others hold as many threads as may be held."""
    try:
        place = waiting_room.held.enter(client, most=HELD, most_of_client=HELD_BY_ONE)
    except waiting_room.Full:
        return made
    try:
        return [submissions.wait(execution_id=each.pk, seconds=WAIT_SECONDS) for each in made]
    finally:
        place.release()


def submit(draft: Draft, *, client: str) -> tuple[Execution | None, list[Problem]]:
    """Admit a draft as an execution of this user; or say what is wrong with it."""
    try:
        made, _ = submissions.submit(_request(draft, client))
    except InvalidRequestError as error:
        numbers = [number for number, file in enumerate(draft.files, 1) if not file.blank]
        return None, [_problem(each.path, each.message, numbers) for each in error.fields]
    except (ExecutionError, TemplateError) as error:
        return None, [Problem(where="", message=error.message)]
    return made, []


def _request(draft: Draft, client: str) -> SubmissionRequest:
    """Return the request that a draft stands for. Raises InvalidRequestError."""
    return SubmissionRequest(
        client=client,
        template=draft.template,
        mode=draft.mode,
        files=[
            {"path": file.path.strip(), "content": file.content, "encoding": file.encoding}
            for file in draft.files
            if not file.blank
        ],
        entry=draft.entry or None,
        args=[line for line in draft.args.split("\n") if line],
        stdin=draft.stdin,
        env=pairs(draft.env, "env"),
        limits=whole(pairs(draft.limits, "limits")),
        labels=pairs(draft.labels, "labels"),
    )


def pairs(text: str, field: str) -> dict[str, str]:
    """`name=value` lines as a table. Raises InvalidRequestError."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.split("\n"))):
        name, sign, value = line.partition("=")
        if not sign or not name.strip() or name.strip() in found:
            message = f"{line[:100]!r}: write name=value, each name once."
            raise InvalidRequestError([Field(path=field, message=message)])
        found[name.strip()] = value
    return found


def whole(limits: Mapping[str, str]) -> dict[str, int]:
    """Limits as numbers. Raises InvalidRequestError."""
    found: dict[str, int] = {}
    for name, value in limits.items():
        try:
            found[name] = parsing.whole(value, most=MOST)
        except parsing.ParseError as error:
            message = f"{name[:40]}: {value[:40]!r} is not a whole number."
            raise InvalidRequestError([Field(path="limits", message=message)]) from error
    return found


def read(given: QueryDict) -> Draft:
    """The form. Browsers end lines with CR LF; here they end as they do in an editor."""
    columns = [given.getlist(name) for name in ("path", "content", "encoding")]
    texts = ("entry", "args", "stdin", "env", "limits", "labels")
    return Draft(
        template=given.get("template", ""),
        beside=given.get("beside", ""),
        mode=given.get("mode", ""),
        files=[
            File(path=path, content=_lines(content), encoding=encoding or "utf8")
            for path, content, encoding in zip_longest(*columns, fillvalue="")
        ],
        **{name: _lines(given.get(name, "")) for name in texts},
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


def _of_example(*, template: str, example: str, ends: str) -> Draft:
    """The example of this name, or a test of the template that ends so; an empty editor without."""
    found = examples.find(
        examples.shelves(), template=template, name=example, fails=ends == "failed"
    )
    if found is None:
        return Draft(template=template, files=[File()])
    return Draft(
        template=template or found.template,
        mode=found.mode,
        files=[File(path=path, content=content) for path, content in found.files],
        args="\n".join(found.args),
        stdin=found.stdin,
    )


def _of_execution(execution: Execution) -> Draft:
    """What was submitted, whole."""
    return Draft(
        template=f"{execution.template_name}@{execution.version.number}",
        mode=execution.mode,
        files=[_file(file) for file in execution.files],
        entry=execution.entry,
        args="\n".join(execution.args),
        stdin=execution.stdin,
        env=_as_lines(execution.env),
        limits=_as_lines(_asked(execution)),
        labels=_as_lines(execution.labels),
    )


def _file(file: Mapping[str, str]) -> File:
    """A submitted file: as text where it is any, else as it came."""
    try:
        text = (checks.content_of(file) or b"").decode("utf-8")
    except UnicodeDecodeError:
        return File(path=file["path"], content=file["content"], encoding="base64")
    return File(path=file["path"], content=text)


def _asked(execution: Execution) -> dict[str, int]:
    """The limits that are not the version's own: those that somebody asked for."""
    try:
        usual = limits_to_json(catalog.runtime(execution.version).default)
    except TemplateError:  # what the version keeps cannot be read: all are shown
        usual = {}
    return {name: value for name, value in execution.limits.items() if usual.get(name) != value}


def _as_lines(table: Mapping[str, object]) -> str:
    return "\n".join(f"{name}={value}" for name, value in table.items())


def _context(draft: Draft) -> dict[str, Any]:
    return {
        "draft": draft,
        "options": options(draft.template),
        "others": options(draft.beside),
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
    names = {
        "files": "Files",
        "mode": "Mode",
        "args": "Arguments",
        "stdin": "Standard input",
        "env": "Environment",
    }
    return Problem(where=names.get(path, path.capitalize()), message=message)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
