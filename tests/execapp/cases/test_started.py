"""Run cases of a template without fork servers: each one starts cold, with its own settings."""

import pytest

from execapp.executor.daemon import Daemon
from tests.execapp.conftest import Api
from tests.minimal_template import program

SHOWS = program(
    "import { existsSync, writeFileSync } from 'node:fs';"
    "const { A, B, C } = process.env; const left = existsSync('/tmp/left');"
    "writeFileSync('/tmp/left', 'x');"
    "console.log(JSON.stringify([process.argv.slice(2), A ?? null, B ?? null, C ?? null, left]));"
)


def test_each_case_has_arguments_and_variables_of_its_own(api: Api, executor: Daemon) -> None:
    cases = [
        {},
        {"args": ["--x", "ü"], "env": {"B": "own", "C": "3"}},
        {"args": []},
    ]
    done = api.submit(SHOWS, cases=cases, args=["theirs"], env={"A": "1", "B": "2"}, wait=True)
    assert [item["stdout"] for item in done["cases"]["items"]] == [
        '[["theirs"],"1","2",null,false]\n',
        '[["--x","ü"],"1","own","3",false]\n',
        '[[],"1","2",null,false]\n',
    ]
    assert {item["timings"]["start"] for item in done["cases"]["items"]} == {"cold"}
    assert done["timings"]["setup_ms"] == pytest.approx(
        sum(item["timings"]["setup_ms"] for item in done["cases"]["items"]), abs=0.01
    )


def test_a_case_that_needs_too_much_memory_ends_alone(api: Api, executor: Daemon) -> None:
    greedy = program(
        "const all = []; if (process.argv[2]) for (;;) all.push(Buffer.alloc(1 << 20, 1));"
        "console.log('ok')"
    )
    done = api.submit(greedy, cases=[{}, {"args": ["much"]}, {}], wait=True)
    states = [item["state"] for item in done["cases"]["items"]]
    assert states == ["succeeded", "out_of_memory", "succeeded"]
    assert done["state"] == "failed"
