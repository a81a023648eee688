"""A data directory, a database that can be flushed, and a definition that builds in a second."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from core.database import triggers
from templatemgr import catalog, data_paths, store
from templatemgr.build import builds, publishing
from templatemgr.definitions import source_files
from templatemgr.models import Build, Template, Version, VersionHealth
from templatemgr.trees import manifests

INTEGRITY = {
    "6.0.0": "sha512-"
    "Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==",
    "7.0.0": "sha512-"
    "41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==",
}

RUNNER = """#!/bin/sh
# Answers without looking at the job: run mode says what is installed, test mode passes one test.
echo '{"type":"ready"}' >&3
read -r job <&3
if [ -w /cache ]; then echo filled > /cache/filled; fi
if [ "$1" = test ]; then
  echo '{"type":"case","name":"passes","file":"a.test.js","state":"passed"}' >&3
  echo '{"type":"result","errors":[],"exit_code":0}' >&3
  exit 0
fi
exec 3>&-
cat /cache/filled
cat /template/said.txt
"""

LIMITS = """
wall_ms = 5000
cpu_ms = 5000
memory_bytes = 134217728
disk_bytes = 8388608
output_bytes = 65536
processes = 16
"""

DEFINITION = f"""format = 1
name = "tiny"
title = "Tiny"
builder = "npm"
summary = "is-number alone"
links = ["node_modules"]
files = ["package.json", "package-lock.json", "runner/main.sh", "said.txt"]
install_scripts = []
prune = ["node_modules/is-number/LICENSE"]
toolchain = {{ "bin/number.js" = "node_modules/is-number/index.js" }}

[env]
GREETING = "hello"

[run]
command = ["runner/main.sh", "run"]
entry = "main.js"

[test]
command = ["runner/main.sh", "test"]
pattern = "*.test.js"

[limits.default]{LIMITS}
[limits.maximum]{LIMITS}
[cache]
submissions = ["run"]
"""

RUN_CASE = """mode = "run"

[expect]
state = "succeeded"
exit_code = 0
stdout = "filled\\nhello\\n"
"""

TEST_CASE = """mode = "test"

[expect]
state = "succeeded"
passed = 1
failed = 0
"""


def package_files(pin: str) -> dict[str, str]:
    """package.json and its lock for one exact version of is-number."""
    package = {"name": "tiny", "private": True, "dependencies": {"is-number": pin}}
    entry = {
        "version": pin,
        "integrity": INTEGRITY[pin],
        "license": "MIT",
        "engines": {"node": ">=0.12.0" if pin == "7.0.0" else ">=0.10.0"},
    }
    lock = {
        "name": "tiny",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {
            "": {"name": "tiny", "dependencies": {"is-number": pin}},
            "node_modules/is-number": entry,
        },
    }
    return {
        "package.json": json.dumps(package, indent=2) + "\n",
        "package-lock.json": json.dumps(lock, indent=2) + "\n",
    }


def write_definition(folder: Path, *, pin: str = "7.0.0", **changed: str) -> Path:
    """Write the tiny definition; `changed` maps file names ("template_toml") to other contents."""
    files = {
        "template.toml": DEFINITION,
        "runner/main.sh": RUNNER,
        "said.txt": "hello\n",
        "smoke/run/case.toml": RUN_CASE,
        "smoke/run/src/main.js": "// nothing\n",
        "smoke/test/case.toml": TEST_CASE,
        "smoke/test/src/a.test.js": "// nothing\n",
        **package_files(pin),
    }
    files |= {name.replace("__", "/"): text for name, text in changed.items()}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "runner/main.sh").chmod(0o755)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A data directory and a definitions folder of this test's own."""
    settings.STENCIL_DATA = tmp_path / "var"
    settings.STENCIL_DEFINITIONS = tmp_path / "definitions"
    settings.STENCIL_DATA.mkdir()
    yield settings.STENCIL_DATA
    catalog._kept_runtime.cache_clear()
    store.remove(settings.STENCIL_DATA)  # pytest cannot remove read-only folders unless root


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """A database with real commits, which the flush at the end may empty.

    The flush is a DELETE, which append-only tables refuse; it sends post_migrate, which installs
    the triggers again.
    """
    yield
    triggers.remove(connection)


@pytest.fixture
def tiny(data_dir: Path, committed: None, settings: Settings) -> Path:
    """The tiny definition's folder, with its template row."""
    folder = write_definition(settings.STENCIL_DEFINITIONS / "tiny")
    catalog.sync_definitions()
    return folder


def run_build(template: str = "tiny", **values: Any) -> Build:
    """Request, claim and run a build, as an executor does."""
    build = builds.request(
        template=template, kind=values.pop("kind", "rebuild"), actor="ann", **values
    )
    claimed = builds.claim(worker="w1", build_id=build.pk)
    assert claimed is not None
    return builds.run(build=claimed, worker="w1")


def log_text(build: Build) -> str:
    """The whole log of a build."""
    return "\n".join(f"{line.step} {line.text}" for line in build.lines.all())


MakeVersion = Callable[..., Version]


@pytest.fixture
def make_version(data_dir: Path, committed: None) -> MakeVersion:
    """Make versions of small trees without npm and without a sandbox, sealed for real."""

    def make(
        files: Mapping[str, str],
        *,
        name: str = "fake",
        smoke_ok: bool = True,
        links: Mapping[str, str] | None = None,
    ) -> Version:
        template, _ = Template.objects.get_or_create(name=name, defaults={"title": name.title()})
        build = Build.objects.create(
            template=template, kind="rebuild", state="ready", requested_by="ann"
        )
        home = data_paths.staging(name, build.pk)
        version = Version(
            template=template,
            number=Version.objects.filter(template=template).count() + 1,
            platform="linux-test",
            smoke=[{"case": "run", "state": "succeeded", "ok": smoke_ok, "ms": 1.0}],
            created_by="ann",
            build=build,
            **_staged(home, name, files, links or {}),
        )
        version.directory = f"versions/{version.number:04d}-{version.identity[:12]}"
        store.publish(home, data_paths.version(version))
        version.save()
        VersionHealth.objects.create(version=version, checked_at=timezone.now(), checked_by="ann")
        return version

    return make


def _staged(
    home: Path, name: str, files: Mapping[str, str], links: Mapping[str, str]
) -> dict[str, Any]:
    """Lay out and seal what a build would; return the digests and sizes of its row."""
    inputs = write_definition(home / "inputs", **_renamed(name))
    for path, text in files.items():
        (home / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "tree" / path).write_text(text)
    for path, target in links.items():
        (home / "tree" / path).symlink_to(target)
    (home / "cache").mkdir()
    (home / "cache" / "warm").write_text("warm")
    sealed = store.seal(home / "tree", data_paths.objects())
    store.close(home / "cache")
    cache = manifests.scan(home / "cache")
    (home / "manifest.json.gz").write_bytes(manifests.dump(sealed.manifest))
    (home / "cache-manifest.json.gz").write_bytes(manifests.dump(cache))
    tree, definition = sealed.manifest.digest(), source_files.digest(inputs)
    return {
        "identity": publishing.make_identity(tree, definition, "linux-test"),
        "tree_digest": tree,
        "definition_digest": definition,
        "cache_digest": cache.digest(),
        "size_bytes": sealed.manifest.size,
        "own_bytes": sealed.own_bytes,
        "file_count": len(sealed.manifest.files),
    }


def _renamed(name: str) -> dict[str, str]:
    return {"template.toml": DEFINITION.replace('name = "tiny"', f'name = "{name}"')}


def link_of(name: str) -> str | None:
    """Where `current` leads on disk."""
    link = data_paths.template(name) / "current"
    return str(link.readlink()) if link.is_symlink() else None
