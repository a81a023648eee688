"""Test the CPU of each part of a submission: whose it is, and what is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import costs
from benchmarks.installation import Installation


def test_each_part_is_divided_and_the_rest_belongs_to_the_sandboxes() -> None:
    before = {"client": 10.0, "web": 100.0, "executor": 50.0, "machine": 1000.0}
    after = {"client": 20.0, "web": 120.0, "executor": 60.0, "machine": 1100.0}
    found = costs.each(before, after, 10)
    assert found == {"client": 1, "web": 2, "executor": 1, "sandbox and the rest": 6}
    assert tuple(found) == costs.PARTS
    assert costs.each(before, {**after, "machine": 1000.0}, 10)["sandbox and the rest"] == 0


def test_the_cpu_of_one_command_is_counted_without_its_children(tmp_path: Path) -> None:
    manage = tmp_path / "manage.py"
    manage.write_text(
        "import subprocess, sys, time\n"
        "busy = 'import time\\nwhile time.process_time() < 0.4: pass'\n"
        "if sys.argv[1] == 'web': subprocess.run([sys.executable, '-c', busy])\n"
        "if sys.argv[1] == 'executor': exec(busy)\n"
        "print(flush=True)\ntime.sleep(300)\n"
    )
    made = Installation(data=tmp_path, port=0, token="", pid=os.getpid())
    commands = [
        subprocess.Popen([sys.executable, str(manage), name], stdout=subprocess.PIPE)
        for name in ("web", "executor")
    ]
    try:
        for command in commands:
            assert command.stdout is not None
            command.stdout.readline()
        assert 1 < made.own_cpu_ms("web") < 300
        assert 400 <= made.own_cpu_ms("executor") < 900
        assert made.own_cpu_ms("doctor") == 0
    finally:
        for command in commands:
            command.kill()
            command.communicate()


def test_a_reading_has_every_part_and_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Installation, "own_cpu_ms", lambda _self, name: len(name))
    made = Installation(data=tmp_path, port=0, token="", pid=0)
    before, until = costs.now(made), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = costs.now(made)
    assert after["client"] - before["client"] >= 50
    assert after["machine"] > before["machine"]
    assert (before["web"], before["executor"]) == (3, 8)
