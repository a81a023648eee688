import os
import time

from sandbox.isolation.process import spawn
from sandbox.session.streams import Capture, Lines, Pump
from tests.timeouts import HANGS_SECONDS


def test_a_capture_keeps_its_limit_and_reports_excess_output() -> None:
    seen: list[bytes] = []
    capture = Capture(5, seen.append)
    capture.feed(b"abc")
    capture.feed(b"de")
    assert not capture.over
    capture.feed(b"f")
    assert capture.stream().data == b"abcde"
    assert capture.stream().truncated
    assert seen == [b"abc", b"de"]


def test_lines_are_cut_decoded_and_bounded() -> None:
    seen: list[str] = []
    lines = Lines(seen.append, longest=4)
    for piece in (b"a\r\nb", b"c\n\xff\n\n", b"123456789"):
        lines.feed(piece)
    lines.end()
    assert seen == ["a", "bc", "\ufffd", "", "1234", "5678", "9"]


def test_concurrent_feeding_and_reading_never_blocks() -> None:
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    child = spawn(["/bin/cat"], [theirs_in, theirs_out, theirs_out], {})
    os.close(theirs_in)
    os.close(theirs_out)
    data = os.urandom(3_000_000)
    capture = Capture(10_000_000)
    pump = Pump(child.pidfd)
    pump.read(ours_out, capture.feed)
    pump.write(ours_in, data)
    deadline = time.monotonic() + HANGS_SECONDS
    while pump.reading and time.monotonic() < deadline:
        pump.turn(1)
    pump.close()
    os.close(ours_out)
    assert child.wait() == 0
    assert bytes(capture.data) == data
