"""What the playground can begin with."""

from collections.abc import Mapping
from dataclasses import dataclass

from execapp.models import Mode

TEST = """\
import { describe, expect, it } from 'vitest'
import { sum } from './sum'

describe('sum', () => {
  it('adds', () => expect(sum(1, 2)).toBe(3))
"""
SUM = """\
export const sum = (a: number, b: number): number => a + b
"""
CENTS = """\
  it('keeps cents', () => {
    console.log('rounding is hard:', sum(0.1, 0.2))
    expect(sum(0.1, 0.2)).toBe(0.3)
  })
"""
MAIN = """\
import { readFileSync } from 'node:fs'

const names = readFileSync(0, 'utf8').trim().split('\\n')
for (const name of names) console.log(`${process.argv[2]}, ${name}`)
"""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A submission that somebody can start from."""

    name: str
    title: str
    mode: str
    files: Mapping[str, str]
    template: str = "typescript"
    args: tuple[str, ...] = ()
    stdin: str = ""


PASSING = Example(
    name="passing",
    title="A passing test",
    mode=Mode.TEST,
    files={"sum.test.ts": TEST + "})\n", "sum.ts": SUM},
)
FAILING = Example(
    name="failing",
    title="A failing test",
    mode=Mode.TEST,
    files={"sum.test.ts": TEST + CENTS + "})\n", "sum.ts": SUM},
)
PROGRAM = Example(
    name="program",
    title="A program",
    mode=Mode.RUN,
    files={"main.ts": MAIN},
    args=("Hello",),
    stdin="Ada\nGrace\n",
)
EXAMPLES = {example.name: example for example in (PASSING, FAILING, PROGRAM)}
