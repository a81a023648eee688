"""From the start to the job: load, say `ready`, wait, make the place, choose how to go on.

Where the job is there already (STENCIL_COLD), nothing is loaded that it may not need.
"""
import gc
import importlib
import importlib.machinery
import json
import os
import sys

from . import ending, protocol

WORKSPACE = "/workspace"
SOURCE = f"{WORKSPACE}/src"
RUNNER = sys.path[0]
HERE = f"{RUNNER}/"


class Program:
    """The entry file as this process's main module."""

    def __init__(self, path):
        self._path = path
        module = type(sys)("__main__")
        loader = importlib.machinery.SourceFileLoader("__main__", path)
        module.__dict__.update(
            __file__=path, __loader__=loader, __builtins__=sys.modules["builtins"], __cached__=None, __package__=None
        )
        if sys.version_info < (3, 14):
            module.__annotations__ = {}
        sys.modules["__main__"] = module
        self.namespace = module.__dict__

    def code(self):
        with open(self._path, "rb") as file:
            return compile(file.read(), self._path, "exec", dont_inherit=True)

    def hide_runner(self):
        """Have the interpreter show the error that it is about to show without our frames."""
        hook = sys.excepthook

        def show(kind, error, trace):
            sys.excepthook = hook
            while trace is not None and trace.tb_frame.f_code.co_filename.startswith(HERE):
                trace = trace.tb_next
            error.__traceback__ = trace
            try:
                hook(kind, error, trace)
            except BaseException:
                ending.expect(None)
                raise

        sys.excepthook = show


def main(mode, bare):
    """Do everything up to the program. Mode `test` does not return."""
    ending.install()
    preload = os.environ.pop("STENCIL_PRELOAD", "").split()
    os.environ.pop("STENCIL_MODE", None)
    cold = os.environ.pop("STENCIL_COLD", None) is not None
    sys.path.pop(0)
    line = protocol.received()
    testing = None
    if mode == "test":
        from . import testing

        bare = testing.load()
    if line is None:
        if not cold:
            warm(preload, testing)
        line = await_job()
    job = json.loads(line)
    protocol.hold_key(job)
    protocol.write_files(SOURCE, job["files"])
    os.environ.update(job["env"])
    entry = f"{SOURCE}/{job['entry']}"
    if shadows(job["files"], bare):
        start_again(mode, line, entry, job["args"])
    sys.path.insert(0, SOURCE if testing else os.path.dirname(entry))
    if testing:
        ending.keep()
        status = testing.perform(job, SOURCE)
        ending.expect(status)
        sys.exit(status)
    return prepare(entry, job["args"])


def warm(preload, testing):
    """Load what makes a start slow."""
    for name in ("traceback", *preload):  # the interpreter itself imports that to show an error
        importlib.import_module(name)
    if testing:
        testing.rehearse()
        testing.prepare(SOURCE)
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


def shadows(files, bare):
    """Whether a submitted module has the name of one that only warming has loaded."""
    tops = {file["path"].split("/", 1)[0] for file in files}
    names = {top.removesuffix(".py") for top in tops}
    return any(name in sys.modules and name not in bare for name in names)


def start_again(mode, line, entry, args):
    """Replace this process by a Python that has loaded nothing, in which every name means what it should."""
    if mode == "run":
        protocol.close()
        rest = [entry, *args]
    else:
        protocol.hand_over(line)
        rest = [f"{RUNNER}/main.py", mode]
    os.execv(sys.executable, [sys.executable, "-B", *rest])


def prepare(entry, args):
    """Look like a Python that was started with the entry file."""
    protocol.set_aside()
    sys.argv[:] = [entry, *args]
    sys.orig_argv[:] = [sys.orig_argv[0], entry, *args]
    if not os.path.isfile(entry):
        sys.stderr.write(f"{sys.executable}: can't open file {entry!r}: [Errno 2] No such file or directory\n")
        sys.exit(2)
    program = Program(entry)
    ending.keep(program)
    return program
