"""Find patterns of `re` whose time can grow faster than the length of a text.

A backtracking matcher takes polynomial or exponential time on a pattern exactly if its automaton is
ambiguous: one word leads around two loops, and from the first into the second (Weber and Seidl,
"On the degree of ambiguity of finite automata", 1991), or around one loop in two ways. The
automaton is Glushkov's: a state for each place of a character in the pattern. A `search` begins
anywhere, which is a loop before the pattern. A loop after a complete match costs nothing, because
the matcher does not go back.

A feature outside of the model (references to groups) counts as a danger. A bounded repetition
counts as taken once or twice, whatever its bound.
"""

import importlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

codes: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")
UNBOUNDED = 1_000
EXTRA = "aZ09_ \t\n\r\"'-./:;<=>@[]{}()#$%&*+,!?\\é\N{SNOWMAN}"
CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d", codes.CATEGORY_NOT_DIGIT: r"\D", codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S", codes.CATEGORY_WORD: r"\w", codes.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


class UnknownError(Exception):
    """The pattern uses a feature that the model does not cover."""


@dataclass(frozen=True)
class Part:
    """Of a part of the pattern: where it begins and ends, and whether it may be nothing."""

    first: frozenset[int]
    last: frozenset[int]
    nullable: bool


@dataclass
class Automaton:
    """The places of a pattern: which characters each takes, and which place may follow which."""

    alphabet: str
    flags: int
    takes: list[int] = field(default_factory=list)  # bits of the alphabet; the last bit: the end
    follow: list[set[int]] = field(default_factory=list)
    twice: bool = False  # a way from one place to the next exists twice, within a loop
    whole: Part = Part(frozenset(), frozenset(), True)

    def place(self, bits: int) -> Part:
        self.takes.append(bits)
        self.follow.append(set())
        here = frozenset({len(self.takes) - 1})
        return Part(here, here, False)

    def bits(self, characters: Iterable[str]) -> int:
        return sum(1 << self.alphabet.index(character) for character in set(characters))

    @property
    def everything(self) -> int:
        return (1 << len(self.alphabet)) - 1

    @property
    def end(self) -> int:
        return 1 << len(self.alphabet)

    def join(self, left: Part, right: Part) -> Part:
        for place in left.last:
            self.follow[place] |= right.first
        return Part(
            left.first | (right.first if left.nullable else frozenset()),
            right.last | (left.last if right.nullable else frozenset()),
            left.nullable and right.nullable,
        )

    def loop(self, part: Part) -> None:
        for place in part.last:
            if self.follow[place] & part.first:
                self.twice = True
            self.follow[place] |= part.first


def danger(pattern: str, flags: int = 0, *, method: str = "search") -> str:
    """Return why a pattern is not linear on some text, used by this method; empty when it is.

    "exponential" and "polynomial" name the kind.
    """
    try:
        made = _automaton(pattern, flags, method)
    except UnknownError as error:
        return f"unknown: {error}"
    if made.twice or _around_twice(made):
        return "exponential"
    return "polynomial" if _two_loops(made, final=method == "fullmatch") else ""


def _automaton(pattern: str, flags: int, method: str) -> Automaton:
    parsed = parser.parse(pattern, flags)
    found = sorted({*EXTRA, *_mentioned(parsed)})
    made = Automaton("".join(found), parsed.state.flags)
    begins_anywhere = method not in {"match", "fullmatch"}
    body = _sequence(made, list(parsed), leading=begins_anywhere)
    if begins_anywhere and not _anchored(parsed, made.flags):
        before = made.place(made.everything)
        made.loop(before)
        body = made.join(Part(before.first, before.last, True), body)
    made.whole = body
    return made


def _anchored(parsed: Any, flags: int) -> bool:
    items = list(parsed)
    return bool(items) and items[0] == (codes.AT, codes.AT_BEGINNING) and not flags & re.MULTILINE


def _mentioned(items: Any) -> Iterator[str]:
    """Return every character that the pattern names, and those next to the ends of its ranges."""
    for code, value in items:
        if code in (codes.LITERAL, codes.NOT_LITERAL):
            yield from {chr(value), chr(value).swapcase()[:1]}
        elif code is codes.RANGE:
            yield from map(chr, (max(value[0] - 1, 0), value[0], value[1], value[1] + 1))
        elif code is codes.IN:
            yield from _mentioned(value)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from _mentioned(branch)
        elif code is codes.SUBPATTERN:
            yield from _mentioned(value[3])
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            yield from _mentioned(value[2])
        elif code is codes.ATOMIC_GROUP:
            yield from _mentioned(value)


def _sequence(made: Automaton, items: list[Any], *, leading: bool = False) -> Part:
    whole = Part(frozenset(), frozenset(), True)
    for index, (code, value) in enumerate(items):
        part = _item(made, code, value, leading=leading and index == 0)
        whole = made.join(whole, part)
    return whole


def _item(made: Automaton, code: Any, value: Any, *, leading: bool) -> Part:
    if code is codes.BRANCH:
        return _any_of([_sequence(made, list(branch), leading=leading) for branch in value[1]])
    if code is codes.SUBPATTERN:
        return _sequence(made, list(value[3]), leading=leading)
    if code is codes.ATOMIC_GROUP:
        return _sequence(made, list(value), leading=leading)
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return _repeat(made, *value)
    if code is codes.AT:
        return _position(made, value, leading=leading)
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return made.place(made.end)  # it may fail after any text
    return made.place(made.bits(c for c in made.alphabet if _takes(made, code, value, c)))


def _any_of(parts: list[Part]) -> Part:
    return Part(
        frozenset().union(*(part.first for part in parts)),
        frozenset().union(*(part.last for part in parts)),
        any(part.nullable for part in parts),
    )


def _repeat(made: Automaton, least: int, most: Any, inner: Any) -> Part:
    unbounded = most is codes.MAXREPEAT or most > UNBOUNDED
    whole = Part(frozenset(), frozenset(), True)
    copies = max(1, min(least, 2)) if unbounded else min(most, 2)
    for number in range(copies):
        part = _sequence(made, list(inner))
        if unbounded and number == copies - 1:
            made.loop(part)
        whole = made.join(whole, Part(part.first, part.last, part.nullable or number >= least))
    return whole


def _position(made: Automaton, value: Any, *, leading: bool) -> Part:
    """Return the part of an anchor. At the start of a search it limits the text before."""
    if value in (codes.AT_END, codes.AT_END_LINE, codes.AT_END_STRING):
        return made.place(made.end)
    if leading and value is codes.AT_BOUNDARY:
        apart = made.place(made.bits(c for c in made.alphabet if not re.match(r"\w", c)))
        return Part(apart.first, apart.last, False)
    begins = value in (codes.AT_BEGINNING, codes.AT_BEGINNING_LINE)
    if leading and begins and made.flags & re.MULTILINE:
        return made.place(made.bits("\n"))
    return Part(frozenset(), frozenset(), True)


def _takes(made: Automaton, code: Any, value: Any, character: str) -> bool:
    other = character.swapcase()[:1] if made.flags & re.IGNORECASE else character
    if code is codes.LITERAL:
        return chr(value) in (character, other)
    if code is codes.NOT_LITERAL:
        return chr(value) not in (character, other)
    if code is codes.ANY:
        return character != "\n" or bool(made.flags & re.DOTALL)
    if code is codes.RANGE:
        return any(value[0] <= ord(c) <= value[1] for c in (character, other))
    if code is codes.CATEGORY:
        return re.match(CATEGORIES[value], character, made.flags & re.ASCII) is not None
    if code is codes.IN:
        negated = value[0][0] is codes.NEGATE
        items = value[1:] if negated else value
        return any(_takes(made, c, v, character) for c, v in items) != negated
    raise UnknownError(str(code))


def _around(made: Automaton) -> list[frozenset[int]]:
    """Return for each place those that lie on a loop with it; none for a place on no loop."""
    reach = [_reached(made, place) for place in range(len(made.follow))]
    return [
        frozenset(other for other in found if place in reach[other])
        for place, found in enumerate(reach)
    ]


def _reached(made: Automaton, place: int) -> set[int]:
    found: set[int] = set()
    pending = [place]
    while pending:
        for following in made.follow[pending.pop()] - found:
            found.add(following)
            pending.append(following)
    return found


def _steps(
    made: Automaton, places: tuple[int, ...], within: list[Any]
) -> Iterator[tuple[int, ...]]:
    """Yield where several walkers can be after one character that all of them take."""

    def go(index: int, bits: int, so_far: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if index == len(places):
            yield so_far
            return
        for following in made.follow[places[index]]:
            shared = bits & made.takes[following]
            if shared and (within[index] is None or following in within[index]):
                yield from go(index + 1, shared, (*so_far, following))

    return go(0, made.everything, ())


def _leads(
    made: Automaton, start: tuple[int, ...], goal: tuple[int, ...], within: list[Any]
) -> bool:
    seen: set[tuple[int, ...]] = set()
    pending = deque([start])
    while pending:
        for places in _steps(made, pending.popleft(), within):
            if places == goal:
                return True
            if places not in seen:
                seen.add(places)
                pending.append(places)
    return False


def _around_twice(made: Automaton) -> bool:
    """Return whether one word leads around a loop in two ways."""
    for place, loop in enumerate(_around(made)):
        if place not in loop:
            continue
        seen: set[tuple[int, ...]] = {(place, place)}
        pending = deque(seen)
        while pending:
            for pair in _steps(made, pending.popleft(), [loop, loop]):
                if pair in seen:
                    continue
                if pair[0] != pair[1] and _leads(made, pair, (place, place), [loop, loop]):
                    return True
                seen.add(pair)
                pending.append(pair)
    return False


def _two_loops(made: Automaton, *, final: bool) -> bool:
    """Return whether one word leads around two loops, and from the first into the second."""
    around = _around(made)
    looping = [place for place, loop in enumerate(around) if place in loop]
    for first in looping:
        for second in looping:
            done = second in made.whole.last and not final
            if first == second or done or second not in _reached(made, first):
                continue
            within = [around[first], None, around[second]]
            if _leads(made, (first, first, second), (first, second, second), within):
                return True
    return False
