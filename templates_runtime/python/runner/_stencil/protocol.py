"""The channel: a stream socket that carries JSON, one object a line.

Everything here uses only what was captured before foreign code loads. The package `json` is left out: a cold start would spend half of
its time on it.
"""
import binascii
import os
import sys

import _json

FIRST = 3  # where the sandbox puts it
CHANNEL = 200  # where a program does not look
CHUNK_BYTES = 65_536
# A job that another interpreter of this process has received already: see `hand_over`.
RECEIVED = "STENCIL_JOB"

_text = _json.encode_basestring_ascii
_write, _getpid, _fstat = os.write, os.getpid, os.fstat
_owner = os.getpid()
_inode = None
_key = ""


def open_channel():
    """Move the channel where nobody looks for it; no program that is started here gets it."""
    global _inode
    if RECEIVED not in os.environ:
        os.dup2(FIRST, CHANNEL, inheritable=False)
        os.close(FIRST)
    os.set_inheritable(CHANNEL, False)
    _inode = os.fstat(CHANNEL).st_ino


def send(message):
    """Send one message. A forked child has nothing to say, and after a test closed the channel nobody listens."""
    line = memoryview(f"{encode(message)}\n".encode("ascii"))
    try:
        while line and _ours():
            line = line[_write(CHANNEL, line) :]
    except OSError:
        pass


def _ours():
    """The program may have closed the descriptor, and opened a file of its own that has the number now."""
    return _getpid() == _owner and _fstat(CHANNEL).st_ino == _inode


def encode(value):
    """JSON of texts, numbers, None, lists and dicts with texts for keys."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(key)}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(encode(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else repr(value)


def decode(line):
    """The value of one line of JSON."""
    settings = type(sys.implementation)(
        strict=True, object_hook=None, object_pairs_hook=None, parse_float=float, parse_int=int, parse_constant=float
    )
    return _json.make_scanner(settings)(line.decode("utf-8"), 0)[0]


def receive():
    """Return the one job as it was sent, or None when the host closed the channel without giving any."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(CHANNEL, CHUNK_BYTES)
        if not chunk:
            return None
        line += chunk
    return bytes(line)


def received():
    """Return the job that was handed over, or None."""
    number = os.environ.pop(RECEIVED, None)
    if number is None:
        return None
    with open(int(number), "rb") as file:
        file.seek(0)
        return file.read()


def hand_over(line):
    """Keep a job, and the channel, for the program that replaces this one; return what tells it."""
    descriptor = os.memfd_create("job", 0)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(line)
    os.set_inheritable(CHANNEL, True)
    return {RECEIVED: str(descriptor)}


def close():
    """Close the channel: what follows is not ours."""
    os.close(CHANNEL)


def hold_key(job):
    """Take from the job what `exit` must carry: the program, which may write to our descriptor, must not know it."""
    global _key
    _key = job.pop("key", "")


def tell_exit(status):
    """Tell the host that all is done. It need not wait until this process's memory is free."""
    send({"type": "exit", "code": status, "key": _key})


def write_files(folder, files):
    """Write the submitted files under `folder`. The host has checked the paths."""
    made = {folder}
    for file in files:
        path = f"{folder}/{file['path']}"
        parent = path[: path.rindex("/")]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        with open(path, "wb") as target:
            target.write(content_of(file))


def content_of(file):
    """The bytes of a submitted file."""
    content = file["content"]
    return binascii.a2b_base64(content) if file["encoding"] == "base64" else content.encode("utf-8", "surrogatepass")
