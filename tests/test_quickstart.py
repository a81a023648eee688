"""Test the main job from end to end, as a new user does it: make up, paste the curl, stop."""

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Stencil, free_port, start, stop

SUM = {"path": "sum.ts", "content": "export const sum = (a: number, b: number) => a + b\n"}
SUM_TEST = {
    "path": "sum.test.ts",
    "content": (
        "import { expect, it } from 'vitest'\n"
        "import { sum } from './sum'\n"
        "it('adds', () => expect(sum(1, 2)).toBe(3))\n"
        "it('keeps cents', () => expect(sum(0.1, 0.2)).toBe(0.3))\n"
    ),
}


def printed_curl(stencil: Stencil) -> str:
    """Return the request that make up printed between blank lines."""
    text = "\n".join(stencil.lines)
    return text[text.index("curl -s") : text.index("\n\nCtrl-C")]


def test_printed_curl_gives_results_of_each_test(stencil: Stencil) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", printed_curl(stencil)], capture_output=True, timeout=120, check=True
    )
    execution = json.loads(done.stdout)
    assert execution["state"] == "failed"
    assert execution["template"]["version"] == 1
    assert execution["tests"]["passed"] >= 1
    [failed] = [case for case in execution["tests"]["cases"] if case["state"] == "failed"]
    assert "cents" in failed["name"]
    assert "0.30000000000000004" in failed["message"]
    assert failed["location"]["line"] > 1
    assert failed["duration_ms"] >= 0


@pytest.mark.parametrize(
    ("template", "path", "program"),
    [
        ("javascript", "main.js", "console.log([1, 2].map((n) => n * 2))"),
        ("python", "main.py", "print([n * 2 for n in (1, 2)])"),
        (
            "typescript",
            "main.ts",
            "enum A { B = 2 }\nconsole.log([1, A.B].map((n: number) => n * 2))",
        ),
    ],
)
def test_every_language_answers(stencil: Stencil, template: str, path: str, program: str) -> None:
    files = [{"path": path, "content": program}]
    body = {"template": template, "mode": "run", "files": files, "wait": True}
    status, execution = stencil.api("POST", "/executions", body)
    assert (status, execution["state"]) == (201, "succeeded"), execution
    assert execution["stdout"].replace(" ", "") == "[2,4]\n"


def test_run_mode_gives_streams_and_exit_code(stencil: Stencil) -> None:
    program = "console.log('out', process.argv.slice(2)); console.error('err'); process.exit(7)\n"
    status, execution = stencil.api(
        "POST",
        "/executions",
        {
            "template": "typescript",
            "mode": "run",
            "files": [{"path": "main.ts", "content": program}],
            "args": ["a b"],
            "wait": True,
        },
    )
    assert status == 201
    assert execution["state"] == "failed"
    assert execution["exit_code"] == 7
    assert execution["stdout"] == "out [ 'a b' ]\n"
    assert execution["stderr"] == "err\n"


def test_workspace_is_links_into_the_version_and_has_no_network(stencil: Stencil) -> None:
    program = (
        "import { readdirSync, readlinkSync } from 'node:fs'\n"
        "import { networkInterfaces } from 'node:os'\n"
        "const seen: Record<string, string> = {}\n"
        "for (const e of readdirSync('/workspace', { withFileTypes: true }))\n"
        "  seen[e.name] = e.isSymbolicLink() ? readlinkSync('/workspace/' + e.name) : 'own'\n"
        "const nets = Object.keys(networkInterfaces())\n"
        "console.log(JSON.stringify({ seen, nets }))\n"
    )
    _, execution = stencil.api(
        "POST",
        "/executions",
        {
            "template": "typescript",
            "mode": "run",
            "files": [{"path": "main.ts", "content": program}],
            "wait": True,
        },
    )
    found = json.loads(execution["stdout"])
    assert found["seen"].pop("src") == "own"
    assert found["seen"]["node_modules"] == "/template/node_modules"
    assert all(target.startswith("/template/") for target in found["seen"].values())
    assert found["nets"] in ([], ["lo"])


def test_credentials_are_readable_by_us_alone(stencil: Stencil) -> None:
    mode = (stencil.data / "credentials.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_life_of_a_template(stencil: Stencil, tmp_path: Path) -> None:
    """Same lock reproduces; a changed pin makes version 2; promote, roll back, pin."""
    again = stencil.manage("build_template", "typescript")
    assert again.returncode == 0, again.stderr
    assert "reproduces version 1" in again.stdout.lower()

    stencil.env["STENCIL_DEFINITIONS"] = str(changed_definitions(tmp_path))
    try:
        built = stencil.manage("build_template", "typescript")
        assert built.returncode == 0, built.stdout + built.stderr
    finally:
        del stencil.env["STENCIL_DEFINITIONS"]

    # Other tests of the same Stencil have made versions before.
    [number] = re.findall(r"made typescript@(\d+)", built.stdout)
    before = submit(stencil)
    promoted = stencil.manage("promote_template", "typescript", number, "--reason", "try it")
    assert promoted.returncode == 0, promoted.stderr
    current = stencil.data / "templates/typescript/current"
    assert current.readlink().name.startswith(f"{int(number):04}-")
    after = submit(stencil)
    assert (before["template"]["version"], after["template"]["version"]) == (1, int(number))
    _, kept = stencil.api("GET", f"/executions/{before['id']}")
    assert kept["template"]["version"] == 1

    pinned = stencil.manage("pin_template", "typescript", "--reason", "exam week")
    assert pinned.returncode == 0, pinned.stderr
    for command in (["promote_template", "typescript", "1"], ["rollback_template", "typescript"]):
        refused = stencil.manage(*command, "--reason", "now")
        assert refused.returncode != 0
        assert "exam week" in refused.stderr
    unpinned = stencil.manage("pin_template", "typescript", "--unpin", "--reason", "over")
    assert unpinned.returncode == 0, unpinned.stderr

    back = stencil.manage("rollback_template", "typescript", "--reason", "done")
    assert back.returncode == 0, back.stderr
    assert current.readlink().name.startswith("0001-")
    assert submit(stencil)["template"]["version"] == 1
    assert stencil.manage("audit", "verify").returncode == 0


def submit(stencil: Stencil) -> dict[str, dict[str, int]]:
    """Submit one passing test and wait for its end."""
    body = {"template": "typescript", "mode": "test", "files": [SUM, SUM_TEST], "wait": True}
    status, execution = stencil.api("POST", "/executions", body)
    assert status == 201, execution
    assert execution["tests"]["passed"] == 1, execution
    result: dict[str, dict[str, int]] = execution
    return result


def changed_definitions(folder: Path) -> Path:
    """Return a copy of the definitions with one changed pin of the TypeScript template."""
    import shutil

    from tests.conftest import ROOT

    definitions = folder / "definitions"
    shutil.copytree(ROOT / "templates_runtime", definitions)
    template = definitions / "typescript"
    for name in ("package.json", "package-lock.json"):
        data = json.loads((template / name).read_text())
        move_pin(data)
        (template / name).write_text(json.dumps(data, indent=2) + "\n")
    return definitions


def move_pin(data: dict[str, object]) -> None:
    """Add one small exact dependency to package.json and its lockfile."""
    package = "is-number"
    if "packages" not in data:
        data["dependencies"][package] = "7.0.0"  # type: ignore[index]
        return
    data["packages"][""]["dependencies"][package] = "7.0.0"  # type: ignore[index]
    data["packages"][f"node_modules/{package}"] = {  # type: ignore[index]
        "version": "7.0.0",
        "integrity": (
            "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
        ),
        "license": "MIT",
        "engines": {"node": ">=0.12.0"},
    }


@pytest.mark.parametrize("times", [2])
def test_second_start_rebuilds_nothing(tmp_path: Path, stencil: Stencil, times: int) -> None:
    """A stopped Stencil starts again on the same data without a build."""
    import shutil

    data = tmp_path / "var"
    shutil.copytree(stencil.data, data, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    for _ in range(times):
        running = start(data, free_port())
        assert not any("build " in line or "fetching" in line for line in running.lines)
        assert stop(running) == 0


def test_flipped_byte_is_found_quarantined_and_no_longer_served(stencil: Stencil) -> None:
    """One byte on disk: verify names it, the version is refused, a rebuild brings it back."""
    tree = stencil.data / "templates/typescript/current/tree"
    target = tree / "node_modules/vitest/package.json"
    original = target.read_bytes()
    target.chmod(0o644)
    target.write_bytes(original.replace(b"vitest", b"vitesT", 1))
    target.chmod(0o444)

    found = stencil.manage("verify_templates", "typescript")
    assert found.returncode != 0
    assert "node_modules/vitest/package.json" in found.stdout + found.stderr

    body = {"template": "typescript", "mode": "test", "files": [SUM, SUM_TEST], "wait": True}
    status, refusal = stencil.api("POST", "/executions", body)
    assert (status, refusal["error"]["code"]) == (503, "template_unavailable")
    trail = stencil.manage("audit", "list")
    assert "version.quarantine" in trail.stdout

    rebuilt = stencil.manage("build_template", "typescript")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert submit(stencil)["template"]["version"] == 1
    assert target.read_bytes() == original
