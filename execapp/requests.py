"""The request for an execution: the same value for every entrance.

An entrance (API, dashboard, another protocol) parses its own format into a `SubmissionRequest` and
passes it to `execapp.services.submissions.submit`, which checks it. See decision 0033.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from execapp.cases import asked
from execapp.cases.asked import CasesRequest

if TYPE_CHECKING:
    from execapp.models import ApiToken, Execution


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The key that makes a submission safe to repeat, and the hash of the body sent with the key.

    The same key with another hash is a conflict.
    """

    key: str
    body_hash: str


@dataclass(frozen=True, kw_only=True)
class SubmissionRequest:
    """All fields of a submission, not checked yet.

    `client` is the name under which the execution is recorded; `token` is None when a user of the
    dashboard submits. `template` is a reference: a name, name@7 or name@sha256:<hex>. `files` are
    mappings of `path`, `content` and `encoding` ("utf8" or "base64"). Without `entry` the
    template's own entry file runs. `limits` are the ones that differ from the template's defaults.
    `collect` are patterns of files below src/ that come back.
    `callback_url` gets the finished execution, in the form of `callback_event`. With `cases` the
    program runs once for each of them; `stdin`, `args` and `env` are for those that have none.
    """

    client: str
    token: "ApiToken | None" = None
    template: str
    mode: str
    files: Sequence[Mapping[str, str]]
    entry: str | None = None
    args: Sequence[str] = ()
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency: Idempotency | None = None
    collect: Sequence[str] = ()
    callback_url: str | None = None
    callback_event: str = "execution.finished"  # a name in execapp.deliveries.events
    cases: CasesRequest | None = None


def repeat(
    execution: "Execution",
    *,
    client: str,
    token: "ApiToken | None",
    template: str | None = None,
    callback_url: str | None = None,
) -> SubmissionRequest:
    """Return the request that `execution` came from, for another client.

    It names the version that ran, unless `template` names another. The limits are those that were
    in force. The idempotency key is not repeated, and neither is the callback: the receiver expects
    the executions of one client, and only that client's token can sign for it.
    """
    return SubmissionRequest(
        client=client,
        token=token,
        template=template or f"{execution.template_name}@{execution.version.number}",
        mode=execution.mode,
        files=execution.files,
        entry=execution.entry or None,
        args=execution.args,
        stdin=execution.stdin,
        env=execution.env,
        limits=execution.limits,
        labels=execution.labels,
        collect=() if execution.collect is None else execution.collect["patterns"],
        callback_url=callback_url,
        cases=None if execution.cases is None else asked.from_json(execution.cases),
    )
