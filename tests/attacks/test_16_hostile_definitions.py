"""Class 16: definitions and edits that target npm, pip, the loader or our own limits.

Each is tried as an edit, and as a definition folder that becomes hostile after the request. It must
be refused before any program starts.
"""

import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from core.database import triggers
from sandbox import cage
from sandbox.isolation import container
from templatemgr import catalog, store, version_runtimes
from templatemgr.build import builds
from templatemgr.models import Build
from tests.execapp.api.api_clients import changer
from tests.templatemgr.conftest import run_build
from tests.tiny_definition import DEFINITION, INTEGRITY, LIMITS, package_files, write_definition

SHA256 = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """The files of a definition by path, their builder, and the parts that the error must name."""

    name: str
    files: Mapping[str, str]
    key: str
    builder: str = "npm"

    @property
    def file(self) -> str:
        return next(iter(self.files))


def npmrc(name: str, text: str, key: str) -> Hostile:
    return Hostile(name=name, files={".npmrc": text}, key=key)


def manifest(name: str, key: str, **values: Any) -> Hostile:
    text = json.dumps({"name": "tiny", "dependencies": {"is-number": "7.0.0"}, **values})
    return Hostile(name=name, files={"package.json": text}, key=key)


def lock(name: str, key: str, change: Callable[[dict[str, Any]], object]) -> Hostile:
    table = json.loads(package_files("7.0.0")["package-lock.json"])
    change(table)
    return Hostile(name=name, files={"package-lock.json": json.dumps(table)}, key=key)


def entry(what: str, key: str, **values: Any) -> Hostile:
    place = "node_modules/is-number"
    change: Callable[[dict[str, Any]], object] = lambda t: t["packages"][place].update(values)  # noqa: E731
    return lock(what, f"packages.{place}.{key}", change)


def toml(name: str, key: str, old: str, new: str) -> Hostile:
    assert old in DEFINITION, old
    return Hostile(name=name, files={"template.toml": DEFINITION.replace(old, new, 1)}, key=key)


def env(name: str, value: str = "1") -> Hostile:
    line = f"{name} = {json.dumps(value)}"
    return toml(f"a variable, {name}", f"env.{name.strip(chr(34))}", 'GREETING = "hello"', line)


def maximum(limit: str, value: int) -> Hostile:
    old = f"[limits.maximum]{LIMITS}"
    lines = [
        f"{limit} = {value}" if line.startswith(limit) else line for line in LIMITS.split("\n")
    ]
    new = "\n".join(["[limits.maximum]", *lines[1:]])
    return toml(f"a limit, {limit}", f"limits.maximum.{limit}", old, new)


def wanted(name: str, text: str, key: str) -> Hostile:
    return Hostile(name=name, files={"requirements.in": text}, key=key, builder="pip")


def locked(name: str, text: str, key: str) -> Hostile:
    return Hostile(name=name, files={"requirements.lock": text}, key=key, builder="pip")


HOSTILE: tuple[Hostile, ...] = (
    npmrc("npm's shell", "script-shell=/build/tree/x.sh\n", "script-shell"),
    npmrc("options of Node", "node-options=--require=/build/tree/x.js\n", "node-options"),
    npmrc("a script of npm's own", "onload-script=/build/tree/x.js\n", "onload-script"),
    npmrc("another configuration", "globalconfig=/build/tree/x\n", "globalconfig"),
    npmrc("npm's own folder", "prefix=/template\n", "prefix"),
    npmrc("a registry of one scope", "@types:registry=http://127.0.0.1:9/\n", "@types:registry"),
    npmrc("a certificate", "cafile=/build/tree/ca.pem\n", "cafile"),
    npmrc("a token for elsewhere", "//h.example/:_authToken=x\n", "//h.example/:_authToken"),
    npmrc("a key in another spelling", "IGNORE_SCRIPTS=false\n", "IGNORE_SCRIPTS"),
    npmrc("a key in quotes", '"git" = /x\n', '"git"'),
    npmrc("a list", "omit[] = optional\n", "omit[]"),
    npmrc("a setting in a section", "[x]\naudit=false\n", ""),
    npmrc("a variable in a key", "${HOME}=1\n", "${HOME}"),
    npmrc("a setting behind a comment", "; audit\u2028git=/x\n", ""),
    npmrc("a setting behind a carriage return", "; audit\rgit=/x\n", ""),
    npmrc("a value with a comment", "audit=false;true\n", "audit"),
    npmrc("no proxy for a place", "noproxy=127.0.0.1\n", "noproxy"),
    manifest("a repository by its short name", "dependencies.x", dependencies={"x": "u/r"}),
    manifest("a repository, optional", "optionalDependencies.x", optionalDependencies={"x": "git://h/r"}),
    manifest("a gist", "peerDependencies.x", peerDependencies={"x": "gist:1234abcd"}),
    manifest("an archive on loopback", "devDependencies.x", devDependencies={"x": "http://127.0.0.1:9/x.tgz"}),
    manifest("a file of the host", "dependencies.x", dependencies={"x": "file:///etc"}),
    manifest("a folder above", "dependencies.x", dependencies={"x": "link:../../.."}),
    manifest("an alias of a repository", "dependencies.x", dependencies={"x": "npm:y@github:u/r"}),
    manifest("an override deep inside", "overrides.a.b.c", overrides={"a": {"b": {"c": "git+ssh://h/r"}}}),
    manifest("a script of installing", "scripts.preinstall", scripts={"preinstall": "touch /tmp/x"}),
    manifest("a script after it", "scripts.prepare", scripts={"prepare": "node x.js"}),
    manifest("workspaces", "workspaces", workspaces=["../*"]),
    manifest("a registry to publish to", "publishConfig", publishConfig={"registry": "http://h/"}),
    manifest("a name that climbs", "dependencies.../../x", dependencies={"../../x": "1.0.0"}),
    Hostile(name="a key twice", files={"package.json": '{"dependencies": {"a": "1"},\n "dependencies": {"a": "u/r"}}'}, key="dependencies"),
    Hostile(name="deep nesting", files={"package.json": '{"x": ' + "[" * 50_000 + "]" * 50_000 + "}"}, key=""),
    Hostile(name="half a character in a name", files={"package.json": '{"dependencies": {"\\ud800": "1"}}'}, key="dependencies.\N{REPLACEMENT CHARACTER}"),
    Hostile(name="a long number", files={"package.json": '{"x": ' + "9" * 100_000 + "}"}, key=""),
    entry("an archive of loopback in the lock", "resolved", resolved="http://127.0.0.1:9/x.tgz"),
    entry("another registry in the lock", "resolved", resolved="https://h.example/is-number/-/is-number-7.0.0.tgz"),
    entry("a repository in the lock", "resolved", resolved="git+file:///build/tree#0123456"),
    entry("a weak hash", "integrity", integrity="sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    entry("an empty hash", "integrity", integrity=""),
    entry("a link to the host", "link", link=True, resolved="../../.."),
    entry("another package under this name", "name", name="evil"),
    entry("a repository that a package needs", "optionalDependencies.x", optionalDependencies={"x": "git+https://h/r"}),
    entry("a lock inside of a package", "hasShrinkwrap", hasShrinkwrap=True),
    entry("a script in the lock", "scripts.install", scripts={"install": "x"}),
    entry("a bundle of nobody", "inBundle", inBundle=True),
    lock("a place outside of the tree", "packages.node_modules/../../x", lambda t: t["packages"].update({"node_modules/../../x": {"version": "1.0.0", "integrity": INTEGRITY["7.0.0"]}})),
    lock("the old section", "dependencies", lambda t: t.update(dependencies={"x": {"version": "git+https://h/r"}})),
    lock("another root", 'packages."".dependencies.x', lambda t: t["packages"][""]["dependencies"].update(x="u/r")),
    env("LD_AUDIT", "/template/x.so"),
    env("GLIBC_TUNABLES", "glibc.malloc.check=3"),
    env("GCONV_PATH", "/template"),
    env("NODE_OPTIONS", "--require=/template/x.js"),
    env("PYTHONSTARTUP", "/template/x.py"),
    env("BASH_ENV", "/template/x.sh"),
    env('"BASH_FUNC_x%%"', "() { :; }"),
    env("OPENSSL_CONF", "/template/x.cnf"),
    env("STENCIL_DATA", "/"),
    env("NODE_COMPILE_CACHE", "/cache/../template"),
    env("JAVA_TOOL_OPTIONS", "-javaagent:/template/x.jar"),
    env("GREETING", "x" * 50_000),
    maximum("wall_ms", 10**18),
    maximum("cpu_ms", 10**15),
    maximum("memory_bytes", 2**50),
    maximum("disk_bytes", 2**62),
    maximum("output_bytes", 2**40),
    maximum("processes", 10**6),
    toml("an option for npm", "install_scripts", "install_scripts = []", 'install_scripts = ["--script-shell=/x"]'),
    toml("a program by an option", "run.command", '["runner/main.sh", "run"]', '["--argv0", "run"]'),
    toml("a glob without end", "prune", '"node_modules/is-number/LICENSE"', '"**/*a*b*c*d*e*f"'),
    toml("npm's other lock", "files", '"said.txt"]', '"said.txt", "npm-shrinkwrap.json"]'),
    toml("a variable of clients before the runner", "variables.start", "[env]", '[variables]\nstart = ["LD_*"]\n[env]'),
    toml("a key of thousands of parts", "", "format = 1", "format = 1\n" + ".".join("a" * 5_000) + " = 1"),
    toml("a text that moves the cursor", "title", '"Tiny"', '"\\u001b[2J"'),
    wanted("another index", "--index-url http://127.0.0.1:9/\ntool\n", "--index-url"),
    wanted("an index joined to its option", "-ihttp://127.0.0.1:9/\n", "-ihttp://127.0.0.1:9/"),
    wanted("a file of constraints", "tool\n-c /etc/passwd\n", "-c"),
    wanted("a folder to build", "-e /build/tree\n", "-e"),
    wanted("a name at an address", "tool @ file:///etc/passwd\n", "tool"),
    wanted("a wheel by its file", "tool-1.0-py3-none-any.whl\n", "tool-1.0-py3-none-any.whl"),
    wanted("a version that is a file", "tool==1.0+x.zip\n", "tool==1.0+x.zip"),
    wanted("a variable in a marker", "tool ; platform_version == '${HOME}'\n", ""),
    wanted("an encoding", "# coding: utf-7\n+AC0-r x\n", ""),
    wanted("what a comment goes on to", "# tool \\\n-r /etc/passwd\n", ""),
    wanted("half a line for pip", "tool\x0b-r /etc/passwd\n", ""),
    wanted("nested markers", "tool ; " + "(" * 900 + "os_name=='x'" + ")" * 900 + "\n", "tool ; " + "(" * 73),
    wanted("backslashes without end", "tool \\\n" * 50_000, ("tool " * 16)[:80]),
    wanted("spaces without end", "tool" + " " * 60_000 + "x\n", ""),
    locked("a package without a hash", "tool==1.0\n", "tool==1.0"),
    locked("a weak hash of pip", f"tool==1.0 --hash=md5:{'0' * 32}\n", f"--hash=md5:{'0' * 32}"),
    locked("every package from source", "--no-binary :all:\n", "--no-binary"),
    locked("a recipe that is installed", f'evil==1 ; os_name == "posix" or extra == "build-of-tool" --hash=sha256:{SHA256}\n', 'os_name == "posix" or extra == "build-of-tool"'),
    locked("a trusted host", "--trusted-host h.example\n", "--trusted-host"),
)  # fmt: skip


class ProgramStartedError(AssertionError):
    """A program was started, although the definition should have been refused before."""


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Give a database that the flush at the end may empty, past the append-only tables."""
    yield
    triggers.remove(connection)


@pytest.fixture
def definition(
    committed: None, tmp_path: Path, settings: Settings, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Write the tiny definition into a folder of this test, for the builder of the case."""
    hostile: Hostile | None = getattr(request, "param", None)
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    text = DEFINITION.replace('"said.txt"]', '"said.txt", ".npmrc"]')
    changed = {"template.toml": text, ".npmrc": "fund=false\n"}
    if hostile is not None and hostile.builder == "pip":
        text = text.replace('"npm"', '"pip"').replace("package.json", "requirements.in")
        changed["template.toml"] = text.replace("package-lock.json", "requirements.lock")
        changed |= {"requirements.in": "tool\n", "requirements.lock": ""}
    folder = write_definition(settings.STENCIL_DEFINITIONS / "tiny", **changed)
    (folder / "npm-shrinkwrap.json").write_text("{}")
    catalog.sync_definitions()
    yield folder
    version_runtimes._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if any program is started, for every result of the build."""

    def refuse(*_: object, **__: object) -> None:
        raise ProgramStartedError

    monkeypatch.setattr(cage, "run", refuse)
    monkeypatch.setattr(container, "start", refuse, raising=False)
    monkeypatch.setattr(subprocess, "Popen", refuse)


BOTH = pytest.mark.parametrize(
    ("definition", "hostile"),
    [pytest.param(hostile, hostile, id=hostile.name) for hostile in HOSTILE],
    indirect=["definition"],
)


@BOTH
def test_a_hostile_edit_is_refused_when_it_is_requested(
    definition: Path, hostile: Hostile, nothing_starts: None
) -> None:
    """Expect 422 with the file, the key and, if known, the line."""
    api = changer()
    body = {"kind": "edit", "files": dict(hostile.files)}
    response = api.call("POST", "/templates/tiny/builds", body)
    assert response.status_code == 422, response.content[:500]
    assert len(response.content) < 4096
    error = response.json()["error"]
    assert error["code"] == "invalid_request"
    assert error["details"]["file"] == f"tiny/{hostile.file}"
    assert error["details"]["key"] == hostile.key
    assert error["details"]["line"] is None or error["details"]["line"] >= 1
    assert not Build.objects.exists()


@BOTH
def test_a_definition_that_becomes_hostile_later_is_refused_before_any_program(
    definition: Path, hostile: Hostile, nothing_starts: None
) -> None:
    builds.request(template="tiny", kind="rebuild", actor="ann")
    for path, text in hostile.files.items():
        (definition / path).write_bytes(text.encode())
    claimed = builds.claim(worker="w1")
    assert claimed is not None
    build = builds.run(build=claimed, worker="w1")
    assert (build.state, build.step, build.version) == ("failed", "fetching", None)
    assert hostile.file in build.message
    assert hostile.key in build.message
    assert len(build.message) < 2000


def test_there_are_enough_hostile_definitions() -> None:
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) >= 60


# Definitions that pass because the operator allows them


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """Listen on loopback; give the address and the list of received requests."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_allowed_address_leads_to_no_neighbour(
    definition: Path, settings: Settings, listener: tuple[int, list[str]]
) -> None:
    port, asked = listener
    settings.STENCIL_PACKAGE_SOURCES = ["http"]
    address = f"http://127.0.0.1:{port}/x.tgz"
    (definition / "package.json").write_text(json.dumps({"dependencies": {"x": address}}))
    build = run_build(kind="refresh")
    assert (build.state, build.version) == ("failed", None)
    assert asked == []


def test_an_allowed_repository_starts_no_program(definition: Path, settings: Settings) -> None:
    settings.STENCIL_PACKAGE_SOURCES = ["git"]
    wanted = {"optionalDependencies": {"x": "git+file:///build/tree/x.git"}}
    (definition / "package.json").write_text(json.dumps(wanted))
    build = run_build(kind="refresh")
    assert build.state == "failed", build.message


def test_an_allowed_folder_is_not_a_folder_of_the_host(
    definition: Path, settings: Settings
) -> None:
    settings.STENCIL_PACKAGE_SOURCES = ["file", "link"]
    canary = settings.STENCIL_DATA / "canary"
    canary.mkdir()
    (canary / "package.json").write_text('{"name": "x", "version": "1.0.0"}')
    wanted = {"dependencies": {"is-number": "7.0.0", "x": f"file:{canary}"}}
    (definition / "package.json").write_text(json.dumps(wanted))
    build = run_build(kind="refresh")
    assert (build.state, build.version) == ("failed", None)
