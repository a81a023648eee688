"""Dispatch the messages of the engine to the parts of the executor."""

from core.engine import Receiver, WakeKind, get_engine
from core.jobs.wakeup import Wakeup
from execapp.executor.pool import Pool
from execapp.executor.running import RunningExecutions


def make_receiver(
    *,
    execution_wakeup: Wakeup,
    maintenance_wakeup: Wakeup,
    delivery_wakeup: Wakeup,
    pool: Pool,
    running_executions: RunningExecutions,
) -> Receiver:
    """Return the receiver of the configured engine, not started."""

    def on_wake(kind: WakeKind) -> None:
        match kind:
            case WakeKind.EXECUTION:
                execution_wakeup.notify_one()  # one row needs only one slot
            case WakeKind.DELIVERY:
                delivery_wakeup.notify()
            case WakeKind.PROMOTION:
                pool.look()
            case WakeKind.BUILD | WakeKind.LOOKUP | WakeKind.VERIFICATION:
                maintenance_wakeup.notify()

    return get_engine().receiver(on_wake=on_wake, on_cancel=running_executions.cancel)
