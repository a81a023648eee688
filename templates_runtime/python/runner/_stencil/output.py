"""What tests print: kept for each of them within bounds, and passed on to the streams of the whole run."""
import os

STREAM_BYTES = 65_536  # of one stream of one test
RUN_BYTES = 2 * 1024 * 1024  # of all tests of a run together
DESCRIPTORS = {"stdout": 1, "stderr": 2}


class Budget:
    """What the tests of one run may still keep."""

    def __init__(self):
        self.left = RUN_BYTES


class Output:
    """What one test has written, in the order of its set-up, call and tear-down."""

    def __init__(self, budget):
        self._budget = budget
        self._parts = {stream: bytearray() for stream in DESCRIPTORS}
        self._truncated = False

    def add(self, stream, text):
        """Keep what there is room for. Other sections than those of the streams, such as a log, are left out."""
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
        """Those of a case's message; none where nothing was written."""
        fields = {stream: kept.decode() for stream, kept in self._parts.items() if kept}
        return {**fields, "truncated": True} if self._truncated else fields


def pass_on(titles, text):
    """Write it to the stream that one of `titles` names, as if it had not been captured."""
    for descriptor in [DESCRIPTORS[title] for title in titles if title in DESCRIPTORS]:
        data = memoryview(_encoded(text))
        while data:
            data = data[os.write(descriptor, data) :]


def _encoded(text):
    return text.encode("utf-8", "replace")
