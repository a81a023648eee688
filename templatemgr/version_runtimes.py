"""How to run submissions on a version, read from the inputs that the version keeps."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from templatemgr import data_paths, operator_rules, runtimes
from templatemgr.definitions import definition_file
from templatemgr.definitions.readers.rules import Ceilings
from templatemgr.errors import DefinitionError, UnavailableError
from templatemgr.integrity import compile_caches, sources
from templatemgr.models import Version
from templatemgr.runtimes import Runtime
from templatemgr.trees import foreign


def runtime_of(version: Version) -> Runtime:
    """Return how to run submissions on this version, within the present limits of this machine.

    If the kept inputs are in doubt, a sound copy is read instead. Raises UnavailableError.
    """
    home = data_paths.version(version)
    ceilings = operator_rules.ceilings()
    epoch = version.health.epoch  # invalidates values read before the inputs were in doubt
    with_cache = not compile_caches.is_stuck(version.health)
    try:
        if "inputs" not in version.health.parts:
            return _kept_runtime(home, home / "inputs", epoch, ceilings, with_cache)
        reason = "its kept inputs are damaged, and no sound copy of them is left"
    except Exception as error:  # noqa: BLE001 - whatever it is, a sound copy may be left
        reason = _why(error)
    copy = sources.definition(version)
    if copy is not None:
        try:
            return _kept_runtime(home, copy, epoch, ceilings, with_cache)
        except Exception as error:  # noqa: BLE001 - whatever it is, this version cannot be run
            reason = _why(error)
    message = f"{version} cannot be run: {reason}"
    raise UnavailableError(message, template=version.template.name)


def _why(error: Exception) -> str:
    if isinstance(error, DefinitionError):
        return foreign.printable(str(error))
    return foreign.reason(error)


@lru_cache(maxsize=256)
def _kept_runtime(
    home: Path, inputs: Path, _epoch: int, ceilings: Ceilings, with_cache: bool
) -> Runtime:
    definition = runtimes.held(definition_file.read_kept(inputs), ceilings)
    runtime = runtimes.make_runtime(definition, home)
    if with_cache:
        return runtime
    trees = {name: replace(tree, cache=None) for name, tree in runtime.trees.items()}
    return replace(runtime, trees=trees)
