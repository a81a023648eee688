"""`manage.py bench`: Stencil beside the bare tools, in one run, as a table."""

import itertools
import os
import platform
import tempfile
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from benchmarks import faults, installation, measures, phases, registry
from benchmarks.table import Row, markdown, renewed
from execapp.management.commands.executor import require_isolation

PAGE = settings.BASE_DIR / "docs/benchmarks.md"


class Command(BaseCommand):
    """Start a Stencil of its own in a temporary directory, measure, and stop it."""

    help = "Measure Stencil against the bare tools; --write puts the table into the docs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--short", action="store_true", help="few samples, smaller trees")
        parser.add_argument("--samples", type=int, help="pairs of each measure")
        parser.add_argument("--burst", type=int, help="submissions of the throughput measure")
        parser.add_argument("--disk", type=int, help="executions before files are counted")
        parser.add_argument("--only", choices=tuple(registry.PARTS), help="rows of one part")
        parser.add_argument(
            "--write", action="store_true", help="write docs/benchmarks.md, or its rows of one part"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        # The sandbox's user must be able to read the trees that the benchmark makes.
        os.umask(0o022)
        require_isolation()
        size = measures.SHORT if options["short"] else measures.FULL
        given = {name: options[name] for name in ("samples", "burst", "disk") if options[name]}
        size = measures.Size(**{**vars(size), **given})
        rows = []
        try:
            with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder:
                self.say("starting a Stencil of its own")
                with installation.started(Path(folder, "var")) as running:
                    toolchain = toolchain_of(running)
                    names = (options["only"],) if options["only"] else registry.PARTS
                    parts = (registry.PARTS[name](running, size) for name in names)
                    for row in itertools.chain.from_iterable(parts):
                        self.say(f"{row.measure}: {row.ours}, {row.other}, {row.ratio}")
                        rows.append(row)
                    if options["only"]:
                        self.stdout.write(markdown(rows))
                        if options["write"]:
                            PAGE.write_text(renewed(PAGE.read_text(), rows), encoding="utf-8")
                        return
                    self.say("where the time goes")
                    table = phases.breakdown(running, size)
                    self.say("damaging the current version")
                    damaged = faults.measure(running)
        except installation.InstallationError as error:
            raise CommandError(str(error)) from error
        text = page(rows, table, toolchain, size, damaged)
        self.stdout.write(text)
        if options["write"]:
            PAGE.write_text(text, encoding="utf-8")

    def say(self, line: str) -> None:
        """Write one line of progress."""
        self.stderr.write(line)
        self.stderr.flush()


def toolchain_of(running: installation.Installation) -> str:
    """Return the summary of the template's version."""
    return (
        running.version.joinpath("inputs/template.toml")
        .read_text()
        .split('summary = "')[1]
        .split('"')[0]
    )


def page(rows: list[Row], breakdown: str, toolchain: str, size: measures.Size, damaged: str) -> str:
    """Return the page of docs: the measures, the machine and the method."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    machine = f"{cores} cores ({platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"
    versions = f"Python {platform.python_version()}, Django {django.get_version()}, {toolchain}"
    return f"""# Benchmarks

`make bench` starts a Stencil of its own and measures it beside the bare tools, in turns, in one
run; it writes this page. Compare the ratios: milliseconds depend on the machine.

{datetime.now(UTC):%Y-%m-%d} · {machine} · {versions} · {size.samples} pairs a measure at most.

{markdown(rows)}

Each pair of runs gives one ratio. The table shows the median, and the ratio at p95: one ratio in
twenty is worse than that. Warm set-up is the time from the claim of a warm sandbox until its job is
delivered. Cold set-up is the time until a new sandbox is mounted, limited and released. The rows of
cold submissions also contain the start of the program. HTTP means one new connection for each
submission, with `wait`, from the connect to the last byte. `ratio` is ours divided by the other, or
the reverse where a row must reach "≥". CPU is the time of web, executor and sandboxes together.

A row of *sustained* load counts the submissions of clients that submit again at once, for twenty
seconds, beside as many bare tools at a time as there are cores. Each submission has other files.

A row *CPU of a submission* is the CPU time of one part under such load, divided by the number of
submissions, beside that of one bare run. The sandbox's part is the rest of the machine's CPU time.

Before a cold set-up a parked bubblewrap waits, as in an executor: with its control group, without
a namespace, a mount or a version. One row shows the time without a parked process. After a pause
that time is much longer: with version 1 of control groups the kernel delays the first move of a
process into a group, and delays moves soon after it only little. A copy takes long, so every
set-up that is compared with a copy starts after a pause.

## Where the time goes

{breakdown}

*Around it*: the connect, the web server, the checks of the body, and the reply. *Queued*: from the
commit to the claim. *Set-up*: until the job is delivered. *Run*: from there to the end of the
program. *Collect*: until the sandbox is killed and its output is read. *Record*: reading
the version before the run and writing the result after it.

## When a version is damaged

{damaged}

The benchmark damages the current TypeScript version while one client submits one execution after
the other, and requests a verification at once. *Found*: until the API reports the damage. *Served
again*: from there until the version is whole. The last kind of damage needs a rebuild: every
version shares the damaged file, so no copy on disk has its bytes.
"""
