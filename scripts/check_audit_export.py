"""Check an export of the audit trail without Stencil: `check_audit_export.py audit.jsonl`.

Needs only Python. Each event's hash must match its contents; in an export of the whole trail each
event must also follow the one before it, from the first. The exit status is 1 at the first invalid
event, 2 if the file cannot be read.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GENESIS = "0" * 64


def main(arguments: list[str]) -> int:
    """Check the named file; with `--part` do not check the chain."""
    part = "--part" in arguments
    names = [each for each in arguments if each != "--part"]
    if len(names) != 1:
        print("Give one file: check_audit_export.py [--part] audit.jsonl", file=sys.stderr)
        return 2
    previous, count = GENESIS, 0
    try:
        for event in read(Path(names[0])):
            trouble = wrong(event, count + 1, previous, part=part)
            if trouble:
                print(f"Event {event['sequence']}: {trouble}.")
                return 1
            previous, count = event["hash"], count + 1
    except (OSError, ValueError, KeyError, csv.Error) as error:
        print(f"{names[0]} is not an export of the audit trail: {error!r}", file=sys.stderr)
        return 2
    print(f"{count} events hold{'' if part else ', each follows the one before it'}.")
    return 0


def wrong(event: dict[str, Any], expected: int, previous: str, *, part: bool) -> str:
    """Return the fault of an event; an empty text if it is valid."""
    contents = {name: value for name, value in event.items() if name != "hash"}
    text = json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    if hashlib.sha256(text.encode("ascii")).hexdigest() != event["hash"]:
        return "its contents do not match its hash"
    if not part and event["sequence"] != expected:
        return f"event {expected} is missing"
    if not part and event["previous_hash"] != previous:
        return "it does not follow the event before it"
    return ""


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of either format."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix != ".csv":
            yield from (json.loads(line) for line in file)
            return
        for row in csv.DictReader(file):
            event: dict[str, Any] = {name: plain(value) for name, value in row.items()}
            event["sequence"] = int(event["sequence"])
            event["details"] = json.loads(event["details"])
            yield event


def plain(cell: str) -> str:
    """Return a cell without the apostrophe that keeps spreadsheets from running it."""
    return cell[1:] if cell.startswith("'") else cell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
