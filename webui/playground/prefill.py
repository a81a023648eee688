"""The initial values of the playground's form: an example, or an earlier execution."""

from collections.abc import Mapping
from typing import Any

from execapp.limits import limits_to_json
from execapp.models import Execution
from execapp.services import checks
from templatemgr import version_runtimes
from templatemgr.errors import TemplateError
from webui.playground import examples
from webui.playground.forms import File


def from_example(*, template: str, example: str, ends: str) -> dict[str, Any]:
    """Return the example of this name, else a test of the template that ends so.

    `ends` is "failed", or anything else for a test that passes. Without any example there is one
    empty editor.
    """
    found = examples.find(
        examples.example_groups(), template=template, name=example, fails=ends == "failed"
    )
    if found is None:
        return {"template": template, "code": [File()]}
    return {
        "template": template or found.template,
        "mode": found.mode,
        "code": [File(path=path, content=content) for path, content in found.files],
        "args": "\n".join(found.args),
        "stdin": found.stdin,
    }


def from_execution(execution: Execution) -> dict[str, Any]:
    """Return the submission of an execution, with the version that it ran on."""
    return {
        "template": f"{execution.template_name}@{execution.version.number}",
        "mode": execution.mode,
        "code": [_file(file) for file in execution.files],
        "entry": execution.entry,
        "args": "\n".join(execution.args),
        "stdin": execution.stdin,
        "env": _as_lines(execution.env),
        "limits": _as_lines(_own_limits(execution)),
        "labels": _as_lines(execution.labels),
    }


def _file(file: Mapping[str, str]) -> File:
    try:
        text = (checks.content_of(file) or b"").decode("utf-8")
    except UnicodeDecodeError:
        return File(path=file["path"], content=file["content"], encoding="base64")
    return File(path=file["path"], content=text)


def _own_limits(execution: Execution) -> dict[str, int]:
    """Return the limits that differ from the version's defaults; all if those cannot be read."""
    try:
        defaults = limits_to_json(version_runtimes.runtime_of(execution.version).default)
    except TemplateError:
        defaults = {}
    return {name: value for name, value in execution.limits.items() if defaults.get(name) != value}


def _as_lines(table: Mapping[str, object]) -> str:
    return "\n".join(f"{name}={value}" for name, value in table.items())
