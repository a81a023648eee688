"""Template filters for numbers, times and states."""

import html
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# The colour of a pill by state; its text is always the state itself.
TONES = {
    "ok": {
        "ready", "succeeded", "passed", "verified", "done", "reproduced", "promoted", "ok",
        "delivered", "accepted",
    },
    "bad": {
        "failed", "error", "crashed", "quarantined", "timed_out", "out_of_memory", "output_limit",
        "missing", "given_up", "wrong_output",
    },
    "warn": {"cancelled", "interrupted", "pinned", "skipped", "retired", "weaker", "major"},
    "accent": {
        "current", "running", "fetching", "installing", "sealing", "smoke", "now", "inputs",
        "sending",
    },
}  # fmt: skip
UNITS = ("B", "KB", "MB", "GB", "TB")


@register.filter
def tone(state: object) -> str:
    """Return the colour class of a state's pill; empty for a neutral one."""
    word = str(state)
    return next((name for name, words in TONES.items() if word in words), "")


@register.simple_tag
def pill(state: object, text: str = "") -> SafeString:
    """Return a pill with its dot and its word: underscores of a state become spaces."""
    return format_html(
        '<span class="pill {}">{}</span>', tone(state), text or str(state).replace("_", " ")
    )


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return a `<time>` that says how long ago, with the exact time on hover."""
    if moment is None:
        return "never"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        elapsed((timezone.now() - moment).total_seconds()),
    )


@register.filter
def due(moment: datetime) -> SafeString:
    """Return a `<time>` that says how soon, with the exact time on hover; "now" for the past."""
    seconds = (moment - timezone.now()).total_seconds()
    if seconds < 1:
        text = "now"
    else:
        text = f"in {seconds:.0f} s" if seconds < 120 else f"in {seconds / 60:.0f} min"
        if seconds >= 7200:
            text = f"in {seconds / 3600:.0f} h"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        text,
    )


def elapsed(seconds: float) -> str:
    """`seconds` ago in one rounded unit: "just now", "6 min ago", "9 days ago"."""
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds / 3600:.0f} h ago"
    days = round(seconds / 86_400)
    return "yesterday" if days == 1 else f"{days} days ago"


@register.filter
def size(count: float | str | None) -> str:
    """Bytes in the unit that keeps the number readable: "262 MB", "5.1 MB", "312 B"."""
    if count is None or count == "":  # how a template sees a key that is not there
        return "–"
    value = float(count)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            digits = 0 if unit == "B" or value >= 100 else 1
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


@register.filter
def ms(given: float | str | None) -> str:
    """Milliseconds: "0.4 ms", "34 ms", "2.1 s"."""
    if given is None or given == "":  # how a template sees a key that is not there
        return "–"
    value = float(given)
    if value >= 10_000:
        return f"{value / 1000:.0f} s"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


@register.filter
def start(timings: Mapping[str, Any]) -> str:
    """Return how the sandbox of an execution started, in one word."""
    if timings.get("start") == "fork":  # older rows tell only whether it was warm
        return "forked"
    return "warm" if timings.get("warm") else "cold"


@register.filter
def seconds(value: float | None) -> str:
    """Seconds: "0.1 s", "19 s", "2 min 5 s"."""
    if value is None:
        return "–"
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


@register.filter
def lasted(value: float | None) -> str:
    """Return a duration in one rounded unit: "45 s", "6 min", "3 h", "9 days"."""
    if value is None:
        return ""
    for unit, length in (("day", 86_400), ("h", 3600), ("min", 60)):
        if value >= length * (2 if unit == "day" else 1):
            count = round(value / length)
            return f"{count} days" if unit == "day" else f"{count} {unit}"
    return f"{value:.0f} s"


@register.filter
def short(digest: str) -> str:
    """Return the first eight digits of a digest, enough to tell versions apart."""
    return str(digest)[:8]


@register.filter
def thousands(count: int) -> str:
    """Return a number as a figure: "4,218"."""
    return f"{count:,}"


@register.filter
def counted(count: int, words: str) -> str:
    """Return a number with its word: `3|counted:"slot,slots"` is "3 slots"."""
    one, many = words.split(",")
    return f"{count:,} {one if count == 1 else many}"


@register.filter
def words(text: str) -> list[str]:
    """Return the words of a text, to loop over."""
    return text.split()


@register.filter
def first_line(text: str) -> str:
    """Return the first line of a text."""
    return str(text).partition("\n")[0]


_ANSI = re.compile(r"\x1b\[([0-9;]*)m|\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07?")
_CODES = {
    "1": "bold", "2": "dim", "3": "italic", "4": "underline", "30": "black", "31": "red",
    "32": "green", "33": "yellow", "34": "blue", "35": "magenta", "36": "cyan", "37": "white",
}  # fmt: skip
_CODES |= {f"9{digit}": _CODES[f"3{digit}"] for digit in range(8)}  # the bright ones
_OFF = {"22": {"bold", "dim"}, "23": {"italic"}, "24": {"underline"}}
_COLOURS = {"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}


@register.filter
def ansi(text: str) -> SafeString:
    """Return a program's output, escaped, with ANSI colours as classes and no other sequence."""
    parts, active, end = [], set[str](), 0
    for match in _ANSI.finditer(text):
        parts.append(_span(text[end : match.start()], active))
        end = match.end()
        if match.group(1) is not None:
            active = _after(match.group(1), active)
    parts.append(_span(text[end:], active))
    return mark_safe("".join(parts))  # noqa: S308 - every part went through html.escape


def _span(text: str, active: set[str]) -> str:
    if not text or not active:
        return html.escape(text)
    classes = " ".join(f"ansi-{name}" for name in sorted(active))
    return f'<span class="{classes}">{html.escape(text)}</span>'


def _after(codes: str, active: set[str]) -> set[str]:
    now = set(active)
    for code in codes.split(";"):
        if code in {"", "0"}:
            now.clear()
        elif code in _OFF:
            now -= _OFF[code]
        elif code == "39":
            now -= _COLOURS
        elif (name := _CODES.get(code)) is not None:
            now = (now - _COLOURS if name in _COLOURS else now) | {name}
    return now
