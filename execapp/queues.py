"""The queue of executions."""

from datetime import timedelta

from core.jobs.queue import Queue
from execapp.models import Execution, ExecutionState

EXECUTIONS = Queue(
    model=Execution,
    queued=ExecutionState.QUEUED,
    running=(ExecutionState.RUNNING,),
    lease=timedelta(seconds=30),
    max_attempts=3,
)
