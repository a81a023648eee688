"""Start the runner: preload, send `ready`, wait for the job, write its files, remove the runner, return to the interpreter.

If the job is available at the start (STENCIL_COLD), nothing is preloaded.
"""
import gc
import os
import sys

from . import clean, finalization, pending, program, protocol, shadows

WORKSPACE = "/workspace"
SOURCE = f"{WORKSPACE}/src"


def main():
    """Run all steps before the interpreter's main task: the entry file in mode `run`, pytest in mode `test`."""
    try:
        begin()
    except BaseException:  # `site` would only print it, and continue without the runner
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def begin():
    """Run the steps of `main`. An exception is an error of the runner."""
    fork = None
    if "STENCIL_FORK" in os.environ:
        from . import fork
    before = clean.Before()
    before.forget()
    settings = take_settings()
    protocol.open_channel()
    line = protocol.received()
    again = line is not None
    testing = None
    if settings["STENCIL_MODE"] == "test":
        from . import testing

        before.modules |= testing.load()
    if not again and "STENCIL_COLD" not in settings:
        warm(settings.get("STENCIL_PRELOAD", "").split(), testing)
        generators = fork and fork.Generators()
        # The objects loaded so far are never freed: exclude them from later collections.
        gc.freeze()
    before.is_ready()
    if fork:
        serve(fork, generators, testing)
    line = line or await_job()
    job = protocol.decode(line)
    protocol.hold_key(job)
    protocol.write_files(SOURCE, job["files"])
    reason = None if again else why_anew(job, before)
    if reason:
        start_anew(line, job, reason, settings)
    os.environ.update(job["env"])
    finalization.keep(before.warm)
    first = testing.prepare(job, SOURCE, settings) if testing else prepare(job)
    before.restore()
    sys.path[:0] = first
    gc.collect(0)  # so that the first collection of the program is not due earlier than in a bare interpreter
    pending.begin()


def take_settings():
    """Remove the settings of the runner from the environment, and return them by name."""
    os.environ.pop("STENCIL_FORK", None)
    names = [name for name in os.environ if name.startswith("STENCIL_") and name != protocol.RECEIVED]
    return {name: os.environ.pop(name) for name in names}


def warm(preload, testing):
    """Preload the modules that make a start slow."""
    finalization.install()
    for name in ("traceback", *preload):  # the interpreter imports `traceback` to show an error
        __import__(name)
    if testing:
        testing.rehearse(SOURCE)
    gc.collect()


def serve(fork, generators, testing):
    """Serve forks. Return in the second process of each sandbox."""
    if testing:
        testing.close_capture()
    fork.serve(generators)
    if testing:
        testing.open_capture()


def await_job():
    """Send `ready`, wait for the job and return its line. Exit if the host closes the channel."""
    protocol.send({"type": "ready"})
    line = protocol.receive()
    if line is None:
        os._exit(0)
    return line


def why_anew(job, before):
    """Return the reason why this job needs a new interpreter without preloaded modules; None if it does not."""
    late = job.get("late") or []
    if late:
        return f"{', '.join(late)[:200]} {'is' if len(late) == 1 else 'are'} read when the runtime starts"
    return shadows.found(job, SOURCE, before.tops)


def start_anew(line, job, reason, settings):
    """Replace this process by a new interpreter without preloaded modules."""
    protocol.send({"type": "cold", "reason": reason})
    environment = {**os.environ, **job["env"]}
    if job["mode"] == "run":
        arguments = [f"{SOURCE}/{job['entry']}", *job["args"]]
    else:
        arguments = ["-m", "pytest", "src"]
        environment |= {**settings, "STENCIL_COLD": "1", **protocol.hand_over(line)}
    os.execve(sys.executable, [sys.executable, "-B", *arguments], environment)


def prepare(job):
    """Make the interpreter run the entry file; return the entries to add to sys.path.

    The list is empty, because the interpreter adds the folder of the entry file itself.
    """
    entry = f"{SOURCE}/{job['entry']}"
    try:
        program.prepare(entry, job["args"], WORKSPACE)
    except OSError as error:
        said = f"{sys.executable}: can't open file {entry!r}: [Errno {error.errno}] {error.strerror}\n"
        os.write(2, said.encode("utf-8", "surrogateescape"))
        os._exit(2)
    return []
