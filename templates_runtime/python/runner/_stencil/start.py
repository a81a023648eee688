"""From the start to the job: load, say `ready`, wait, make the place, leave no trace, let the interpreter do its task.

Where the job is there already (STENCIL_COLD), nothing is loaded that it may not need.
"""
import gc
import os
import sys

from . import clean, ending, pending, program, protocol, shadows

WORKSPACE = "/workspace"
SOURCE = f"{WORKSPACE}/src"


def main():
    """Do everything up to the interpreter's own task: the entry file in mode `run`, pytest in mode `test`."""
    try:
        begin()
    except BaseException:  # which `site` would only print, to go on without us
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def begin():
    """The same; what it raises is our own fault."""
    before = clean.Before()
    before.forget()
    pending.remember()
    told = take_settings()
    protocol.open_channel()
    line = protocol.received()
    again = line is not None
    testing = None
    if told["STENCIL_MODE"] == "test":
        from . import testing

        before.modules |= testing.load()
    if not again and "STENCIL_COLD" not in told:
        warm(told.get("STENCIL_PRELOAD", "").split(), testing)
    before.is_ready()
    line = line or await_job()
    job = protocol.decode(line)
    protocol.hold_key(job)
    protocol.write_files(SOURCE, job["files"])
    reason = None if again else why_anew(job, before)
    if reason:
        start_anew(line, job, reason, told)
    os.environ.update(job["env"])
    ending.keep(before.warm)
    first = testing.prepare(job, SOURCE, told) if testing else prepare(job)
    before.restore()
    sys.path[:0] = first
    pending.begin()


def take_settings():
    """Take out of the environment what is said to the runner."""
    names = [name for name in os.environ if name.startswith("STENCIL_") and name != protocol.RECEIVED]
    return {name: os.environ.pop(name) for name in names}


def warm(preload, testing):
    """Load what makes a start slow."""
    ending.install()
    for name in ("traceback", *preload):  # the interpreter itself imports that to show an error
        __import__(name)
    if testing:
        testing.rehearse(SOURCE)
    # What is loaded now stays for good: no collection needs to look at it again.
    gc.collect()
    gc.freeze()


def await_job():
    """Say that it may come, and wait for the job."""
    protocol.send({"type": "ready"})
    line = protocol.receive()
    if line is None:
        os._exit(0)
    return line


def why_anew(job, before):
    """Why this process cannot do the job as a Python that has loaded nothing would; None if it can."""
    late = job.get("late") or []
    if late:
        return f"{', '.join(late)[:200]} {'is' if len(late) == 1 else 'are'} read when the runtime starts"
    return shadows.found(job, SOURCE, before.tops)


def start_anew(line, job, reason, told):
    """Replace this process by a Python that has loaded nothing, in which every name means what it should."""
    protocol.send({"type": "cold", "reason": reason})
    environment = {**os.environ, **job["env"]}
    if job["mode"] == "run":
        arguments = [f"{SOURCE}/{job['entry']}", *job["args"]]
    else:
        arguments = ["-m", "pytest", "src"]
        environment |= {**told, "STENCIL_COLD": "1", **protocol.hand_over(line)}
    os.execve(sys.executable, [sys.executable, "-B", *arguments], environment)


def prepare(job):
    """Have the interpreter run the entry file; return what to put on sys.path: nothing, it does so itself."""
    entry = f"{SOURCE}/{job['entry']}"
    try:
        program.prepare(entry, job["args"], WORKSPACE)
    except OSError as error:
        said = f"{sys.executable}: can't open file {entry!r}: [Errno {error.errno}] {error.strerror}\n"
        os.write(2, said.encode("utf-8", "surrogateescape"))
        os._exit(2)
    return []
