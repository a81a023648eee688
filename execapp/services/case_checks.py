"""Check the cases of a submission before it is stored. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from execapp.cases import comparing
from execapp.cases.asked import Case, CasesRequest
from execapp.conf import Sizes
from execapp.errors import MAX_REPORTED, Field
from execapp.limits import LIMIT_NAMES
from execapp.models import Mode
from execapp.services import checks
from sandbox.session.variables import Variables

MAX_NAME_BYTES = 200
_WAYS = 'Give "exact", "trim", "tokens" or {"float": tolerance}.'


def check(
    asked: CasesRequest | None, mode: str, env: Mapping[str, str], sizes: Sizes
) -> list[Field]:
    """Check the cases by themselves, beside the variables `env` of the submission."""
    if asked is None:
        return []
    if mode != Mode.RUN:
        return [Field(path="cases", message='Cases belong to mode "run": tests are cases already.')]
    if not 1 <= len(asked.items) <= sizes.max_cases:
        return [Field(path="cases", message=f"Give 1 to {sizes.max_cases} cases.")]
    problems = _check_compare(asked.compare)
    found = (
        each
        for index, case in enumerate(asked.items)
        for each in _below(index, [*_check_case(case, sizes), *_check_env(case, env, sizes, None)])
    )
    return [*problems, *islice(found, MAX_REPORTED)]


def check_against(
    asked: CasesRequest | None,
    env: Mapping[str, str],
    limits: Mapping[str, int],
    sizes: Sizes,
    variables: Variables,
) -> list[Field]:
    """Check the cases against the limits of the submission and the variables of its template."""
    if asked is None:
        return []
    found = (
        each
        for index, case in enumerate(asked.items)
        for each in _below(
            index, [*_check_limits(case, limits), *_check_env(case, env, sizes, variables)]
        )
    )
    return list(islice(found, MAX_REPORTED))


def _below(index: int, problems: list[Field]) -> Iterator[Field]:
    for problem in problems:
        yield replace(problem, path=f"cases.{index}.{problem.path}")


def _check_compare(compare: Any) -> list[Field]:
    if isinstance(compare, str):
        return [] if compare in comparing.WAYS else [Field(path="compare", message=_WAYS)]
    if list(compare) != [comparing.FLOAT]:
        return [Field(path="compare", message=_WAYS)]
    tolerance = compare[comparing.FLOAT]
    if not (math.isfinite(tolerance) and tolerance >= 0):
        text = "Give a tolerance of 0 or more."
        return [Field(path=f"compare.{comparing.FLOAT}", message=text)]
    return []


def _check_case(case: Case, sizes: Sizes) -> list[Field]:
    problems = list(checks.check_args(case.args or (), case.stdin or "", sizes))
    if case.name is not None and (
        not case.name.isprintable() or checks.size_of(case.name) > MAX_NAME_BYTES
    ):
        text = f"Give at most {MAX_NAME_BYTES} bytes of printable characters."
        problems.append(Field(path="name", message=text))
    if checks.size_of(case.expected_stdout or "") > sizes.max_stdin_bytes:
        text = f"At most {sizes.max_stdin_bytes} bytes are taken."
        problems.append(Field(path="expected_stdout", message=text))
    return problems


def _check_env(
    case: Case, env: Mapping[str, str], sizes: Sizes, variables: Variables | None
) -> list[Field]:
    """Check the variables of a case; their number together with those of the submission."""
    if not case.env:
        return []
    if len({**env, **case.env}) > sizes.max_env:
        text = f"At most {sizes.max_env} variables are taken, those of the submission included."
        return [Field(path="env", message=text)]
    return checks.check_env(case.env, sizes, variables)


def _check_limits(case: Case, limits: Mapping[str, int]) -> list[Field]:
    problems = []
    for name, value in case.limits.items():
        path = f"limits.{name[:100]}"
        if name not in LIMIT_NAMES:
            text = f"Known limits are {', '.join(LIMIT_NAMES)}."
            problems.append(Field(path=path, message=text))
        elif type(value) is not int or value < checks.LEAST[name]:
            text = f"Give a whole number, {checks.LEAST[name]} or more."
            problems.append(Field(path=path, message=text))
        elif value > limits[name]:
            text = (
                f"At most {limits[name]}, the limit of the whole submission: raise limits.{name}."
            )
            problems.append(Field(path=path, message=text))
    return problems
