"""The families of counters and histograms: their names, texts and labels."""

from dataclasses import dataclass

OTHER = "other"  # the value of a folded label
SUM = "sum"  # the row of a histogram that holds the sum of its values
# Upper bounds in seconds: from a warm answer to the longest wall limit and wait.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MOST_SERIES = 5_000  # rows of one family


@dataclass(frozen=True, kw_only=True)
class Family:
    """A counter, or with `bounds` a histogram.

    If a family has `MOST_SERIES` rows, a new series gets `OTHER` as the value of each label in
    `folded`. So a client that makes many versions makes no more rows.
    """

    name: str  # without the suffix _total
    text: str
    labels: tuple[str, ...]
    folded: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def bucket(self, value: float) -> str:
        """Return the upper bound of the bucket that a value falls into."""
        return next((str(bound) for bound in self.bounds if value <= bound), "+Inf")

    def fold(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the values of the labels, with `OTHER` for the folded ones."""
        named = zip(self.labels, values, strict=False)  # a histogram has a bucket after them
        kept = tuple(OTHER if name in self.folded else value for name, value in named)
        return (*kept, *values[len(self.labels) :])


EXECUTIONS = Family(
    name="stencil_executions",
    text="Executions that have ended.",
    labels=("template", "version", "mode", "state"),
    folded=("template", "version"),
)
STARTS = Family(
    name="stencil_execution_starts",
    text="Sandboxes that ran an execution, by how they started: forked, warm or cold.",
    labels=("template", "start"),
    folded=("template",),
)
PHASES = Family(
    name="stencil_execution_phase_seconds",
    text="Duration of each phase of an execution: queued, setup, run, collect; and of all, total.",
    labels=("template", "phase"),
    folded=("template",),
    bounds=SECONDS,
)
REQUESTS = Family(
    name="stencil_http_requests",
    text="Requests that the web servers answered; the route is a pattern.",
    labels=("method", "route", "status"),
    folded=("route",),
)
REPLIES = Family(
    name="stencil_http_request_seconds",
    text="Time from a complete head of a request to the end of its reply, with waits and streams.",
    labels=("method", "route"),
    folded=("route",),
    bounds=SECONDS,
)
CALLBACKS = Family(
    name="stencil_callback_attempts",
    text="Attempts to deliver a callback, by whether the receiver accepted it.",
    labels=("event", "result"),
)
_ALL = (EXECUTIONS, STARTS, PHASES, REQUESTS, REPLIES, CALLBACKS)
FAMILIES = {each.name: each for each in _ALL}
