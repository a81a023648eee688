"""One execution in a thread of the executor: run it in a sandbox, and record its end."""

import logging
import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from core.database.retry import retry_on_lock
from execapp.cases import asked, judging, results
from execapp.cases.judging import CaseResult, Judged
from execapp.executor import case_runs
from execapp.executor.context import ExecutorContext
from execapp.executor.dispatcher import Claimed
from execapp.executor.live import LiveOutput
from execapp.executor.warm_groups import Key
from execapp.models import Execution
from execapp.queues import EXECUTIONS
from execapp.services import checks, claims, collected_files
from sandbox.errors import ConfinementError, LimitsError, LostError, StartupError
from sandbox.forkserver.server import tier_for
from sandbox.limits import Limits
from sandbox.session import sessions
from sandbox.session.meter import Meter
from sandbox.session.outcome import Outcome, State, Stream, Usage
from sandbox.session.sessions import Session, SourceFile, Submission
from sandbox.session.variables import Variables
from templatemgr import data_paths, version_runtimes
from templatemgr.integrity import checking
from templatemgr.runtimes import Runtime

logger = logging.getLogger(__name__)
NONE_WAITED = "no suitable warm sandbox was waiting"
SERVER_KILLED = "the fork server of its first sandbox was killed while it ran"
FAILED = "The sandbox failed because of Stencil; the log has the reason under error_id."
NOT_CONFINED = (
    "The sandbox was not locked down as it must be, so the submission did not run: a fault of the "
    "template. The log has the reason under error_id."
)


class _DrainingError(Exception):
    """The executor drains: a prepared execution goes back to the queue."""


def run(context: ExecutorContext, slot: str, claimed: Claimed) -> None:
    """Run one claimed execution and record its end; never raise."""
    try:
        with ExitStack() as later:  # deferred until the reply has been sent
            later.callback(context.pool.refill)
            later.callback(context.parked_pool.refill)
            _answer(context, slot, claimed, later)
    except Exception:
        logger.exception("execution %s: its sandbox could not be cleared away", claimed.id)
    finally:
        context.admission.leave(claimed.entry)
        context.execution_wakeup.notify()


def _answer(context: ExecutorContext, slot: str, claimed: Claimed, later: ExitStack) -> None:
    execution = claimed.execution
    try:
        record = _attempt(context, slot, claimed, later)
        if not retry_on_lock(record):
            logger.warning("execution %s: attempt %s is void", execution.id, execution.attempt)
    except Exception:
        logger.exception("execution %s: its end could not be recorded", execution.id)
    finally:
        context.running_executions.remove(claimed.running)
        context.live.remove(execution.id)
        claimed.entry.ended()
        context.receiver.finished(execution.id)


def _attempt(
    context: ExecutorContext, slot: str, claimed: Claimed, later: ExitStack
) -> Callable[[], bool]:
    """Run the execution, and return the call that records its end."""
    execution, running = claimed.execution, claimed.running
    attempt = execution.attempt
    if not execution.version.healthy:  # read with the claim: quarantined since admission
        return lambda: claims.refuse(execution=execution, attempt=attempt)
    try:
        outcome, judged = _run(context, slot, claimed, later)
    except Exception as error:  # noqa: BLE001 - every kind of error is recorded
        return _not_run(context, execution, error)
    context.breaker.worked()
    if running.give_back and outcome.state is State.CANCELLED:
        return lambda: claims.requeue(execution=execution, attempt=attempt)
    return lambda: claims.finish(
        execution=execution,
        attempt=attempt,
        outcome=outcome,
        host=context.host,
        judged=judged,
        waited_ms=claimed.entry.waited_ms,
    )


def _not_run(
    context: ExecutorContext, execution: Execution, error: Exception
) -> Callable[[], bool]:
    """Return the call that records an attempt without an outcome.

    If the machine is at fault, the execution returns to the queue and the attempt does not count.
    Another attempt is always safe, because a sandbox has no external effects.
    """
    attempt = execution.attempt
    if isinstance(error, _DrainingError) or context.breaker.blames_machine(error):
        return lambda: claims.postpone(execution=execution, attempt=attempt)
    if _tree_is_lost(execution):
        return lambda: claims.refuse(execution=execution, attempt=attempt)
    if isinstance(error, StartupError) and attempt < EXECUTIONS.max_attempts:
        # The submission has not started, so another attempt is safe.
        logger.warning("execution %s did not start: %s", execution.id, error)
        return lambda: claims.requeue(execution=execution, attempt=attempt)
    error_id = secrets.token_hex(6)
    logger.error(
        "error %s: execution %s failed on our side", error_id, execution.id, exc_info=error
    )
    message = NOT_CONFINED if isinstance(error, ConfinementError) else FAILED
    return lambda: claims.fail(
        execution=execution, attempt=attempt, error_id=error_id, message=message
    )


def _tree_is_lost(execution: Execution) -> bool:
    """Return whether the tree of the version is missing; if so, quarantine the version."""
    version = execution.version
    if (data_paths.version(version) / "tree").is_dir():
        return False
    logger.error("execution %s: the tree of %s is not on disk", execution.id, version)
    checking.verify(template=version.template.name, version=version.number, actor="executor")
    return True


def _run(
    context: ExecutorContext, slot: str, claimed: Claimed, later: ExitStack
) -> tuple[Outcome, Judged | None]:
    """Run the submission, or each of its cases; return the outcome and the results of cases."""
    execution = claimed.execution
    runtime = version_runtimes.runtime_of(execution.version)
    limits = runtime.limits(execution.limits)  # recorded when the ceilings may have been different
    submission = submission_of(execution, runtime.pattern)
    live = context.live.add(execution.id, execution.attempt)
    sandboxed = partial(_sandboxed, context, slot, claimed, runtime, live)
    if execution.cases is None:
        return sandboxed(later, submission, limits, meter=claimed.entry), None
    wanted = asked.from_json(execution.cases)

    def ahead(number: int) -> Session | None:
        case = wanted.items[number - 1]
        if cold_reason(runtime.variables, {**submission.env, **case.env}) is not None:
            return None
        started = starting_limits(judging.lowest(limits, case.limits), runtime.default)
        tier = tier_for(runtime.tree(execution.mode), submission.files)
        return context.pool.fork(_key(execution), limits=started, tier=tier, slot=slot)

    def ended(number: int, result: CaseResult) -> None:
        name = wanted.items[number - 1].name
        live.reported(results.event(number, name, results.result_to_json(result)))

    total = len(wanted.items)
    with case_runs.Deliver(
        sandboxed,
        claimed.entry,
        ahead=ahead,
        total=total,
        waited_ms=lambda: claimed.entry.waited_ms,
    ) as deliver:
        judged = judging.run(
            wanted, submission, limits,
            within=execution.cases["within"], deliver=deliver,
            cancel=claimed.running.cancel, ended=ended,
        )  # fmt: skip
    return judged.outcome, judged


def _key(execution: Execution) -> Key:
    epoch = execution.version.health.epoch
    return Key(version_id=execution.version_id, mode=execution.mode, epoch=epoch)


def _sandboxed(
    context: ExecutorContext,
    slot: str,
    claimed: Claimed,
    runtime: Runtime,
    live: LiveOutput,
    later: ExitStack,
    submission: Submission,
    limits: Limits,
    *,
    meter: Meter,
    case: int = 0,
    warm: Session | None = None,
) -> Outcome:
    """Run it in a sandbox of its own, which is `warm` if there is one.

    `case`: its number, if it is one of several.
    """
    execution = claimed.execution
    reason = cold_reason(runtime.variables, submission.env)
    tree = runtime.tree(execution.mode)
    started = starting_limits(limits, runtime.default)
    if reason is None and warm is None and case <= 1:
        tier = tier_for(tree, submission.files)
        warm = context.pool.take(_key(execution), limits, started=started, tier=tier, slot=slot)

    def deliver(session: Session) -> Outcome:
        _await_core(context, claimed, session)
        return session.deliver(
            submission, limits, cancel=claimed.running.cancel,
            later=later, meter=meter, exclusive=claimed.entry.need.exclusive,
            on_case=live.case, on_output=None if case else live.output,
            files=collected_files.wanted_by(execution),
        )  # fmt: skip

    if warm is not None:
        try:
            return deliver(warm)
        except (LimitsError, StartupError) as error:
            # The submission has not started: run it in a cold sandbox.
            logger.info("a warm sandbox was not used: %s", error)
        except LostError as error:
            # Its fork server was killed. A program has no external effects: run it again.
            logger.warning("execution %s runs again: %s", execution.id, error)
            reason = SERVER_KILLED
            if not case:
                live.begin()
    session = sessions.start(
        tree, started, slot=slot, cold=True,
        parked_pool=context.parked_pool, env=submission.env,
    )  # fmt: skip
    try:
        outcome = deliver(session)
    except LimitsError:
        outcome = _no_room(session, limits)
    return replace(outcome, cold_reason=outcome.cold_reason or reason or NONE_WAITED)


def _await_core(context: ExecutorContext, claimed: Claimed, session: Session) -> None:
    """Wait in the sandbox until the program may run. _DrainingError if the executor ends first."""
    cancel, draining = claimed.running.cancel, context.draining
    context.admission.begin(claimed.entry, lambda: cancel.is_set() or draining.is_set())
    if claimed.entry.prepared and not cancel.is_set():
        session.close()
        raise _DrainingError("the executor drains, and the program has not begun")


# Decision 0025: a variable that a runtime reads at its start needs a cold sandbox.
def cold_reason(variables: Variables, env: Iterable[str]) -> str | None:
    """Return the variable that the runtime reads at its start, as a reason; else None."""
    names = variables.at_start(env)
    if not names:
        return None
    read = "is" if len(names) == 1 else "are"
    return f"{', '.join(names)[:200]} {read} read when the runtime starts"


def starting_limits(limits: Limits, default: Limits) -> Limits:
    """Return limits for the start of a cold sandbox that are sufficient for its runner.

    Delivery lowers them. With a small memory limit, the start would fail as an internal error.
    """
    return replace(
        limits,
        memory_bytes=max(limits.memory_bytes, default.memory_bytes),
        processes=max(limits.processes, default.processes),
    )


def _no_room(session: Session, limits: Limits) -> Outcome:
    """Return the outcome for a limit that the runtime exceeds before the program starts."""
    return Outcome(
        state=State.OUT_OF_MEMORY,
        exit_code=None,
        signal=None,
        message=f"The runtime alone needs more than {limits.memory_bytes} bytes of memory.",
        stdout=Stream(),
        stderr=Stream(),
        report=None,
        usage=Usage(cpu_ms=0.0, memory_peak_bytes=None),
        setup_ms=session.setup_ms,
        run_ms=0.0,
        start="cold",
    )


def submission_of(execution: Execution, pattern: str | None) -> Submission:
    """Return the recorded submission in the form for the sandbox."""
    files = tuple(
        SourceFile(path=file["path"], content=checks.content_of(file) or b"")
        for file in execution.files
    )
    return Submission(
        mode=execution.mode,
        files=files,
        entry=execution.entry or None,
        args=tuple(execution.args),
        env=execution.env,
        stdin=execution.stdin.encode(),
        pattern=pattern,
    )
