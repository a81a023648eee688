"""Describe attacks as values: a program, where it runs, and the results of a failed attack."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox.limits import MIB, Limits
from sandbox.session.outcome import Outcome, State

Kind = Literal["program", "suite", "call", "shell"]

# The prelude of every program. `attempt` returns the code of the error, or the result of the body.
PRELUDE = """
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import cp from "node:child_process";
import dgram from "node:dgram";
const say = (value) => fs.writeSync(1, JSON.stringify(value) + "\\n");
const attempt = async (body) => {
  try { return (await body()) ?? "OK"; } catch (error) { return error.code ?? String(error); }
};
const reach = (...at) => new Promise((done) => net.connect(...at)
  .on("connect", () => done("OK")).on("error", (error) => done(error.code))
  .setTimeout(1500, () => done("SILENCE")));
const processes = () => fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name));
"""
LIMITS = Limits(
    wall_ms=30_000,  # generous for a busy machine; cpu_ms bounds busy loops
    cpu_ms=6_000,
    memory_bytes=192 * MIB,
    disk_bytes=16 * MIB,
    file_bytes=32 * MIB,
    output_bytes=20_000,
    processes=48,
    open_files=512,
    startup_ms=60_000,  # a slow disk may have to read Node again
)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack. The protection held if it ended in one of `states` with one of `answers`, if any.

    `code` is a program (run), a suite (test), a function name in syscalls.c, or a line for sh.
    Words in @ are replaced by values of the arena: @PORT@, @SECRET_FILE@ and so on.
    `before` is a function that runs first, in another execution, to test what both share.
    """

    name: str
    kind: Kind
    code: str
    states: tuple[State, ...] = (State.SUCCEEDED,)
    answers: tuple[object, ...] = ()
    never: str = ""
    limits: Limits = LIMITS
    environment: Mapping[str, str] = field(default_factory=dict)
    before: str = ""

    def breach(self, outcome: Outcome) -> str | None:
        """Return how the protection failed, or None if it held."""
        said = outcome.stdout.data.decode("utf-8", "replace")
        if outcome.state not in self.states:
            errors = outcome.stderr.data.decode("utf-8", "replace")[-500:]
            return f"it ended {outcome.state} ({outcome.message}), saying {said[:300]!r} {errors}"
        if self.never and self.never in said:
            return f"{self.never!r} was seen"
        if self.answers and outcome.state == State.SUCCEEDED:
            found = self._answer(said)
            if found not in self.answers:
                return f"it got {found!r}, not one of {self.answers}"
        return None

    def _answer(self, said: str) -> object:
        last = said.strip().rpartition("\n")[2]
        if self.kind == "call":
            return errno.errorcode.get(int(last), last) if last.isdigit() else last
        try:
            return json.loads(last)
        except ValueError:
            return last


def program(name: str, code: str, *answers: object, never: str = "", **limits: int) -> Attack:
    """Make an attack from a module that prints its answer."""
    return Attack(
        name=name, kind="program", code=code, answers=answers, never=never, limits=within(limits)
    )


def tries(name: str, body: str, *answers: object, **limits: int) -> Attack:
    """Make an attack from a JavaScript expression; the answer is its error's code or its result."""
    code = f"say(await attempt(async () => {body}));"
    return Attack(name=name, kind="program", code=code, answers=answers, limits=within(limits))


def ends(name: str, code: str, *states: State, **limits: int) -> Attack:
    """Make an attack from a module that is judged by its final state."""
    return Attack(name=name, kind="program", code=code, states=states, limits=within(limits))


def call(name: str, *answers: str) -> Attack:
    """Make an attack from a function of syscalls.c; a machine without the system call passes."""
    return Attack(name=name, kind="call", code=name, answers=(*answers, "ABSENT"))


def bomb(name: str, code: str, *states: State, **limits: int) -> Attack:
    """Make an attack from a function of syscalls.c that exceeds a limit, judged by its state."""
    return Attack(name=name, kind="call", code=code, states=states, limits=within(limits))


def shell(name: str, line: str, *answers: object, never: str = "") -> Attack:
    """Make an attack from a line for sh."""
    return Attack(name=name, kind="shell", code=line, answers=answers, never=never)


def forgery(name: str, code: str, *states: State) -> Attack:
    """Make an attack from a test file that forges its result."""
    return Attack(name=name, kind="suite", code=code, states=states or (State.FAILED,))


def within(limits: Mapping[str, int]) -> Limits:
    """Return the usual limits with these changes."""
    values = {name: getattr(LIMITS, name) for name in LIMITS.__dataclass_fields__}
    return Limits(**{**values, **limits})
