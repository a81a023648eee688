"""Class 13: paths that leave the sources, replace or hide files, or exhaust the server."""

import json

import pytest
from django.conf import settings

from execapp.conf import sizes
from execapp.services.checks import check_files
from sandbox.session.outcome import State
from sandbox.session.sessions import SourceFile, Submission, check_paths
from tests import minimal_template
from tests.attacks.testbed import Arena
from tests.execapp.conftest import Api
from tests.sandbox.node_tree import tree_for

REFUSED = {
    "empty": "",
    "a dot": ".",
    "two dots": "..",
    "absolute": "/etc/passwd",
    "two slashes": "//etc/passwd",
    "climbing": "../x",
    "climbing from inside": "a/../../x",
    "climbing at the end": "a/..",
    "a dot inside": "a/./b",
    "an empty part": "a//b",
    "a slash at the end": "a/",
    "NUL": "a\0b",
    "NUL at the end": "main.mjs\0.txt",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "4,096 bytes": "a/" * 2047 + "aa",
    "a name of 256 bytes": "a" * 256,
    "a name of 256 bytes in two-byte letters": "ä" * 128,
    "200 levels": "/".join("a" * 200),
    "a lone surrogate": "a\ud800b",
}
PAIRS = {
    "the same twice": ("a.mjs", "a.mjs"),
    "a file where a folder is needed": ("a", "a/b"),
    "a folder where a file is needed": ("a/b/c", "a/b"),
}
DIFFERENT = {
    "case": ("A.mjs", "a.mjs"),
    "Unicode form": ("\u00e9.mjs", "e\u0301.mjs"),
    "an invisible letter": ("a.mjs", "a\u200b.mjs"),
    "letters that look alike": ("a.mjs", "\u0430.mjs"),
    "trailing space": ("a.mjs", "a.mjs "),
    "trailing dot": ("a", "a."),
    "backslash": ("a/b", "a\\b"),
    "a drive": ("C:", "C:\\x"),
    "a tilde": ("~", "~root"),
    "dots that are a name": ("...", "..x"),
    "percent": ("%2e%2e", "%2e%2e%2fx"),
    "full-width dots": ("\uff0e\uff0e", "\uff0e"),
}


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED)
def test_a_bad_path_is_refused_before_a_process_starts(path: str) -> None:
    assert [index for index, _ in check_paths(["main.mjs", path])] == [1]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_conflicting_paths_are_refused(pair: tuple[str, str]) -> None:
    assert len(check_paths(pair)) == 1


@pytest.mark.parametrize("path", [*REFUSED.values(), "x" * 100_000])
def test_the_api_names_the_refused_path(path: str, api: Api) -> None:
    files = [{"path": "main.mjs", "content": ""}, {"path": path, "content": ""}]
    response = api.call(
        "POST", "/executions", json.dumps({**minimal_template.HELLO.body(), "files": files})
    )
    assert response.status_code == 422, response.content
    assert response.json()["error"]["details"]["fields"][0]["path"] == "files.1.path"


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_names_that_look_the_same_are_two_files_under_the_sources(
    pair: tuple[str, str], arena: Arena
) -> None:
    assert check_paths(["main.mjs", *pair]) == []
    assert written(arena, *pair) == {name: f"content {n}" for n, name in enumerate(pair)}


NAMED_LIKE = (
    "package.json", "tsconfig.json", "vitest.config.ts", ".npmrc", ".env", "node_modules/dep.js",
    "node_modules/node/index.js", "runner/main.mjs", "bin/node", ".git/config", "template/x",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED_LIKE)
def test_a_path_named_like_a_template_file_stays_under_the_sources(name: str, arena: Arena) -> None:
    assert written(arena, name) == {name: "content 0"}


def written(arena: Arena, *names: str) -> dict[str, str]:
    """Return the entries of src/ except the entry, after checking the links above it."""
    code = """import fs from "node:fs"; import path from "node:path";
        const root = "/workspace/src", found = {};
        for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true }))
          if (entry.isFile() && entry.name !== "main.mjs") {
            const at = path.join(entry.parentPath, entry.name);
            found[path.relative(root, at)] = fs.readFileSync(at, "utf8");
          }
        for (const at of ["runner/main.mjs"]) try {
          found[at] = fs.readFileSync(root + "/" + at, "utf8") } catch {}
        console.log(JSON.stringify([found, fs.readdirSync("/workspace").sort(),
          fs.readFileSync("/workspace/package.json", "utf8")]));"""
    sources = [SourceFile(path="main.mjs", content=code.encode())]
    sources += [
        SourceFile(path=name, content=f"content {n}".encode()) for n, name in enumerate(names)
    ]
    job = Submission(mode="run", files=tuple(sources), entry="main.mjs")
    with arena.neighbour():
        outcome = arena.execute(tree_for(arena.tree, "run"), job)
    assert outcome.state == State.SUCCEEDED, outcome
    found, beside, sealed = json.loads(outcome.stdout.data)
    assert beside == ["node_modules", "package.json", "src"]
    assert sealed == '{"sealed": true}'
    result: dict[str, str] = found
    return result


def test_ten_thousand_files_are_refused_as_one_fault() -> None:
    files = [{"path": f"{n}", "content": "", "encoding": "utf8"} for n in range(10_000)]
    assert [problem.path for problem in check_files(files, sizes())] == ["files"]


@pytest.mark.started
def test_a_check_of_many_deep_paths_is_quick(arena: Arena) -> None:
    """Check ten thousand deep paths, without comparing each with each."""
    paths = ["/".join(f"{n}{level}" for level in range(30)) for n in range(10_000)]
    assert check_paths(paths) == []


def test_the_tests_run_on_data_of_their_own() -> None:
    assert "stencil-tests-" in str(settings.STENCIL_DATA)
