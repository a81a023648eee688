"""Output of tests: keep a bounded part for each test, and forward all output to the streams of the run."""
import os

STREAM_BYTES = 65_536  # kept of one stream of one test
RUN_BYTES = 2 * 1024 * 1024  # kept of all tests of a run together
DESCRIPTORS = {"stdout": 1, "stderr": 2}
_write = os.write  # a test may replace `os.write`


class Budget:
    """The number of bytes of output that the tests of one run may still keep."""

    def __init__(self):
        self.left = RUN_BYTES


class Output:
    """The output of one test, in the order of its set-up, call and tear-down."""

    def __init__(self, budget):
        self._budget = budget
        self._parts = {stream: bytearray() for stream in DESCRIPTORS}
        self._truncated = False

    def add(self, stream, text):
        """Keep `text` up to the limits. Ignore sections that are not standard streams, such as a log."""
        kept = self._parts.get(stream)
        if kept is None:
            return
        data = _encoded(text)
        room = min(STREAM_BYTES - len(kept), self._budget.left)
        if len(data) > room:
            self._truncated = True
            data = data[:room].decode("utf-8", "ignore").encode()
        kept += data
        self._budget.left -= len(data)

    def fields(self):
        """Return the output fields of a `case` message. Omit a stream that has no output."""
        fields = {stream: kept.decode() for stream, kept in self._parts.items() if kept}
        return {**fields, "truncated": True} if self._truncated else fields


def pass_on(titles, text):
    """Write `text` to each stream that `titles` names, as if pytest had not captured it."""
    for descriptor in [DESCRIPTORS[title] for title in titles if title in DESCRIPTORS]:
        data = memoryview(_encoded(text))
        while data:
            data = data[_write(descriptor, data) :]


def _encoded(text):
    return text.encode("utf-8", "replace")
