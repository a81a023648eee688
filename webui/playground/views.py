"""The playground: run files on a version and see the result on the same page."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from execapp import history
from webui.executions import result_page
from webui.executions.queries import viewer_of
from webui.http import HtmxHttpRequest, base_url
from webui.playground import examples, prefill, queries, result_diff, runs
from webui.playground.forms import MOST_FILES, PlaygroundForm
from webui.playground.runs import Problem
from webui.shell import decorators, error_pages
from webui.shell.error_pages import ErrorText

LARGEST_REFUSAL = 64 * 1024  # bytes of a page that shows a refused form again


@decorators.page_for("execapp.submit_execution")
def playground(request: HttpRequest) -> HttpResponse:
    """Show the form, filled with an example or with an earlier execution (`from=<id>`)."""
    source = request.GET.get("from", "")
    if source:
        execution = history.get(execution_id=source, viewer=viewer_of(request))
        initial = prefill.from_execution(execution)
    else:
        initial = prefill.from_example(
            template=request.GET.get("template", ""),
            example=request.GET.get("example", ""),
            ends=request.GET.get("ends", ""),
        )
    context = _context(PlaygroundForm(initial=initial))
    return render(request, "playground/playground.html", context)


@decorators.change("execapp.submit_execution")
def run(request: HtmxHttpRequest) -> HttpResponse:
    """Run the form, or change its list of files; htmx gets the part that changed."""
    form = PlaygroundForm(request.POST)
    action = request.POST.get("action", "run")
    if action != "run":
        name = "_files" if request.htmx else "playground"
        return render(request, f"playground/{name}.html", _context(form.after(action)))
    ended, problems = runs.run(form, client=decorators.actor(request))
    base = base_url(request)
    context: dict[str, Any] = {
        "problems": problems,
        "htmx": bool(request.htmx),
        "results": [result_page.result(execution, base) for execution in ended],
        "shared": f"{base}{reverse('playground')}",
    }
    if len(ended) > 1:
        context["differences"] = result_diff.differences(*ended)
    if request.htmx:
        return render(request, "playground/_result.html", context)
    context |= _context(form)
    status = 422 if problems else 200
    response = render(request, "playground/playground.html", context, status=status)
    if problems and len(response.content) > LARGEST_REFUSAL:
        return error_pages.show(422, _too_long(problems[0]))
    return response


def _too_long(problem: Problem) -> ErrorText:
    said = f"{problem.where}: {problem.message}" if problem.where else problem.message
    return ErrorText(
        title="That cannot be run",
        problem=said[:1000],
        advice="The form is too long to be shown again. Go back: your browser keeps it.",
    )


def _context(form: PlaygroundForm) -> dict[str, Any]:
    templates = queries.options(form["template"].value() or "")
    form.offer(templates=templates, others=queries.options(form["beside"].value() or ""))
    return {
        "form": form,
        "files": form["code"].value(),
        "can_run": bool(templates),
        "example_groups": examples.example_groups(),
        "most_files": MOST_FILES,
    }
