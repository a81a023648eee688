"""The channel to the host: a stream socket that carries JSON, one object per line.

All functions here use only objects captured before submitted code loads. The package `json` is not imported, because this would take
half of the time of a cold start.
"""
import binascii
import os
import sys

import _json

FIRST = 3  # the descriptor of the channel at the start of the process
CHANNEL = 200  # a descriptor that programs are unlikely to use
CHUNK_BYTES = 65_536
# The environment variable with the descriptor of a job that was received before `execve`: see `hand_over`.
RECEIVED = "STENCIL_JOB"

_text = _json.encode_basestring_ascii
_write, _getpid, _fstat = os.write, os.getpid, os.fstat
_owner = os.getpid()
_inode = None
_key = ""


def open_channel():
    """Move the channel to the descriptor CHANNEL. Child programs do not inherit it."""
    if RECEIVED not in os.environ:
        os.dup2(FIRST, CHANNEL, inheritable=False)
        os.close(FIRST)
    os.set_inheritable(CHANNEL, False)
    own_channel()


def own_channel():
    """Note that the descriptor CHANNEL is the channel of this process."""
    global _inode, _owner
    _owner = _getpid()
    _inode = _fstat(CHANNEL).st_ino


def send(message):
    """Send one message. Do nothing in a forked child, or if a test has closed the channel."""
    line = memoryview(f"{encode(message)}\n".encode("ascii"))
    try:
        while line and _ours():
            line = line[_write(CHANNEL, line) :]
    except OSError:
        pass


def _ours():
    """Return whether CHANNEL is still the channel of this process.

    The program may have closed the descriptor and opened a file that now has its number.
    """
    return _getpid() == _owner and _fstat(CHANNEL).st_ino == _inode


def encode(value):
    """Return the JSON of a value made of strings, numbers, booleans, None, lists and dicts with string keys."""
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
    """Return the value of one line of JSON."""
    settings = type(sys.implementation)(
        strict=True, object_hook=None, object_pairs_hook=None, parse_float=float, parse_int=int, parse_constant=float
    )
    return _json.make_scanner(settings)(line.decode("utf-8"), 0)[0]


def receive():
    """Return the line of JSON with the job, or None if the host closed the channel without sending a job."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(CHANNEL, CHUNK_BYTES)
        if not chunk:
            return None
        line += chunk
    return bytes(line)


def received():
    """Return the line of the job that `hand_over` kept, or None."""
    number = os.environ.pop(RECEIVED, None)
    if number is None:
        return None
    with open(int(number), "rb") as file:
        file.seek(0)
        return file.read()


def hand_over(line):
    """Keep a job and the channel open for the program that replaces this one; return the environment variable with the descriptor."""
    descriptor = os.memfd_create("job", 0)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(line)
    os.set_inheritable(CHANNEL, True)
    return {RECEIVED: str(descriptor)}


def close():
    """Close the channel, so that code which runs later cannot use it."""
    os.close(CHANNEL)


def hold_key(job):
    """Remove the key from the job and keep it for the `exit` message.

    The program can write to the descriptor of the channel, so it must not know the key.
    """
    global _key
    _key = job.pop("key", "")


def report_exit(status):
    """Report the exit status to the host, so that the host does not wait until the kernel has freed the memory of this process."""
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
    """Return the bytes of a submitted file."""
    content = file["content"]
    return binascii.a2b_base64(content) if file["encoding"] == "base64" else content.encode("utf-8", "surrogatepass")
