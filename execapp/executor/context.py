"""The parts that the threads of one executor share."""

import threading
from dataclasses import dataclass
from typing import Any

from core.engine import Receiver
from core.jobs.failures import FailureLog
from core.jobs.wakeup import Wakeup
from execapp.executor.admission import Admission
from execapp.executor.breaker import CircuitBreaker
from execapp.executor.live import LiveOutputs
from execapp.executor.pool import Pool
from execapp.executor.running import RunningExecutions
from execapp.services import claims
from sandbox.isolation.parking import ParkedPool


@dataclass(kw_only=True)
class ExecutorContext:
    """The parts of one executor that its workers use."""

    worker: str
    host: dict[str, Any]
    execution_wakeup: Wakeup  # an execution is queued
    maintenance_wakeup: Wakeup  # a build, a verification or a lookup is queued
    delivery_wakeup: Wakeup  # a delivery is due
    running_executions: RunningExecutions
    rotation: claims.Rotation
    pool: Pool
    parked_pool: ParkedPool
    receiver: Receiver
    live: LiveOutputs
    draining: threading.Event
    admission: Admission
    breaker: CircuitBreaker
    failures: FailureLog
    client_limit: int | None = None
