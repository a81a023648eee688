"""The queues of executions and of deliveries."""

from datetime import timedelta

from core.jobs.queue import Queue
from execapp.models import Delivery, DeliveryState, Execution, ExecutionState

EXECUTIONS = Queue(
    model=Execution,
    queued=ExecutionState.QUEUED,
    running=(ExecutionState.RUNNING,),
    lease=timedelta(seconds=30),
    max_attempts=3,
)

# A claim starts an attempt, so a lost attempt is repeated however often: the schedule ends it.
DELIVERIES = Queue(
    model=Delivery,
    queued=DeliveryState.QUEUED,
    running=(DeliveryState.SENDING,),
    lease=timedelta(minutes=5),
    max_attempts=2**31,
)
