"""Class 17, pip: hostile definitions and packages attack the fetch step.

The builder is called as in a build, on trees that no reader has screened. Some attacks run twice:
`whole` as in a build, and `bare` without pip's audit hook and its own filter, so that only the
kernel and the network protect the host.
"""

import hashlib
import zipfile
from pathlib import Path

import pytest

from templatemgr import downloads
from templatemgr.builders import interpreter
from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder
from templatemgr.builders.pip import online_pip, pip_builder, pip_lock
from templatemgr.errors import BuildError
from tests.attacks.fetch.conftest import Workspace, package_json
from tests.attacks.loopback_registries import Registry
from tests.templatemgr.builders import sdists


@pytest.fixture(params=["whole", "bare"])
def hooks(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return whether pip has its audit hook and filter, or only the cage protects the host."""
    if request.param == "bare":
        text = Path(online_pip.__file__).read_text()
        bare = text.replace("    seal()\n    sys.addaudithook(refuse)\n", "")
        assert bare != text
        (tmp_path / "online_pip.py").write_text(bare)
        (tmp_path / "online_pip.py").chmod(0o644)
        monkeypatch.setattr(online_pip, "__file__", str(tmp_path / "online_pip.py"))
    return str(request.param)


SETUP = "import pathlib; pathlib.Path('/build/ran').write_text('x')\nraise SystemExit(1)\n"
# A backend that requires nothing from an index: it is the first program that pip starts.
PROJECT = {
    "pyproject.toml": sdists.OWN.format(requires="[]"),
    "backend.py": SETUP,
    "setup.py": SETUP,
}
REQUIREMENTS = {
    "editable": "-e /build/tree/project",
    "editable git": "-e git+file:///build/tree/project#egg=x",
    "git": "x @ git+ssh://git@127.0.0.1/x.git",
    "mercurial": "x @ hg+http://127.0.0.1/x",
    "subversion": "x @ svn+ssh://127.0.0.1/x",
    "bazaar": "x @ bzr+lp:x",
    "a folder": "/build/tree/project",
    "a source distribution": "file:///build/tree/evil-1.0.tar.gz",
    "sources, without isolation": "--no-binary :all:\n--no-build-isolation\nevil",
    "sources of a folder": "--no-binary :all:\n--find-links /build/tree\nevil==1.0",
    "pre-releases of a folder": "--pre\n--no-index\n--find-links /build/tree\nevil",
    "a setting of the build": "file:///build/tree/evil-1.0.tar.gz --config-settings=x=y",
}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_pip_starts_no_program(workspace: Workspace, hooks: str, name: str) -> None:
    workspace.write(**{f"project__{file}": text for file, text in PROJECT.items()})
    workspace.write(**{"requirements.in": REQUIREMENTS[name] + "\n"})
    sdists.pack(workspace.job.tree, "evil", "1.0", PROJECT)
    with pytest.raises(BuildError):
        pip_builder.relock(workspace.job)
    assert not workspace.ran


INDEXES = {
    "an index": "--index-url {url}/simple\ngood",
    "one more index": "--extra-index-url {url}/simple\nother",
    "links": "--find-links {url}/simple/good/\nother",
    "a file to include": "-r {url}/whatever",
    "constraints": "-c {url}/whatever\nother",
    "a trusted host": "--trusted-host 127.0.0.1\n--index-url {url}/simple\ngood",
    "a wheel": "good @ {url}/files/good-1.0-py3-none-any.whl",
    "metadata": "-r http://169.254.169.254/latest/meta-data",
}


@pytest.mark.parametrize("name", INDEXES)
def test_pip_connects_only_to_configured_hosts(
    workspace: Workspace, elsewhere: Registry, name: str
) -> None:
    elsewhere.answers["/whatever"] = b"a neighbour's secret\n"
    workspace.write(**{"requirements.in": INDEXES[name].format(url=elsewhere.url) + "\n"})
    with pytest.raises(BuildError) as caught:
        pip_builder.relock(workspace.job)
    assert elsewhere.asked == []
    assert "neighbour's secret" not in caught.value.message + "".join(workspace.said)
    assert workspace.job.reached <= workspace.job.configured


def wheel(name: str, files: dict[str, str], version: str = "1.0") -> tuple[str, bytes]:
    """Write a wheel of one module and these files; its RECORD lists all of them."""
    import io

    info = f"{name}-{version}.dist-info"
    inside = {
        f"{name}.py": "x = 1\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **{path.format(data=f"{name}-{version}.data"): text for path, text in files.items()},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for path, text in inside.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o120777 if text.startswith("LINK:") else 0o100755) << 16
            packed.writestr(entry, text.removeprefix("LINK:"))
        packed.writestr(
            zipfile.ZipInfo(f"{info}/RECORD"),
            "".join(f"{path},,\n" for path in (*inside, f"{info}/RECORD")),
        )
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


STDLIB = f"lib/python{interpreter.VERSION.removeprefix('python')}"
WHEELS = {
    "over the interpreter": {"{data}/scripts/python": "evil"},
    "over the interpreter, whole name": {f"{{data}}/scripts/{interpreter.VERSION}": "evil"},
    "over the interpreter, as data": {"{data}/data/bin/python": "evil"},
    "over the library": {f"{{data}}/data/{STDLIB}/os.py": "evil"},
    "over a module of the library": {f"{{data}}/data/{STDLIB}/json/__init__.py": "evil"},
    "beside the library": {f"{{data}}/data/{STDLIB}/pytest.py": "evil"},
    "site, beside the library": {f"{{data}}/data/{STDLIB}/sitecustomize.py": "evil"},
    "over the runner": {"{data}/data/runner/main.py": "evil"},
    "beside the runner": {"{data}/data/runner/json.py": "evil"},
    "over requirements": {"{data}/data/requirements.in": "evil"},
    "an environment": {"{data}/data/pyvenv.cfg": "home = /tmp\n"},
    "an environment in bin": {"{data}/data/bin/pyvenv.cfg": "home = /tmp\n"},
    "a shell": {"{data}/scripts/sh": "#!python\n"},
    "env": {"{data}/scripts/env": "#!python\n"},
    "node": {"{data}/scripts/node": "#!python\n"},
    "a library beside": {"{data}/data/lib/libc.so.6": "evil"},
    "an absolute path": {"/tmp/absolute.py": "evil"},
    "a path that climbs": {"../../../../climbs.py": "evil"},
    "data that climbs": {"{data}/data/../../climbs.py": "evil"},
    "an odd scheme": {"{data}/platstdlib/x.py": "evil"},
    "a name in the root": {"{data}/data/evil.py": "evil"},
    "code at the start": {"x.pth": "import os; os.system('true')\n"},
    "code at the start, by a tab": {"x.pth": "import\tos\n"},
    "a path at the start": {"x.pth": "/workspace/src\n"},
    "a path that leads out": {"x.pth": "../../../..\n"},
    "sitecustomize": {"sitecustomize.py": "evil = 1\n"},
    "sitecustomize as a package": {"sitecustomize/__init__.py": "evil = 1\n"},
    "usercustomize": {"usercustomize.py": "evil = 1\n"},
    "code at the start, as data": {"{data}/purelib/x.pth": "import os\n"},
    "code behind a byte order mark": {"x.pth": "\ufeffimport os\n"},
    "code behind a long comment": {"x.pth": f"#{'x' * (1 << 20)}\nimport os\n"},
    "code behind a form feed": {"x.pth": "odd\fimport os\n"},
    "code behind an odd character": {"x.pth": "odd\N{LATIN SMALL LETTER E WITH ACUTE}\n"},
    "sitecustomize in a folder of a path": {"x.pth": "odd\n", "odd/sitecustomize.py": "evil = 1\n"},
    "usercustomize deeper": {
        "x.pth": "odd/sub\n",
        "odd/sub/usercustomize/__init__.py": "evil = 1\n",
    },
}


def lock_wheel(workspace: Workspace, registry: Registry, files: dict[str, str]) -> None:
    file, content = wheel("odd", files)
    registry.publish_wheel("odd", file, content)
    digest = hashlib.sha256(content).hexdigest()
    workspace.write(**{
        "requirements.in": "odd\n", "requirements.lock": f"odd==1.0 --hash=sha256:{digest}\n",
        "runner__main.py": "ours\n",
    })  # fmt: skip


@pytest.mark.parametrize("name", WHEELS)
def test_a_wheel_installs_files_only_in_its_own_folders(
    workspace: Workspace, registry: Registry, name: str
) -> None:
    lock_wheel(workspace, registry, WHEELS[name])

    def build() -> None:
        pip_builder.fetch(workspace.job)
        pip_builder.install(workspace.job)

    with pytest.raises(BuildError) as caught:
        build()
    assert "odd" in caught.value.message
    assert not Path("/tmp/absolute.py").exists()


def test_a_usual_wheel_is_installed_and_its_host_is_known(
    tmp_path: Path, machine: dict[str, str], registry: Registry
) -> None:
    workspace = Workspace(tmp_path / "work")
    lock_wheel(workspace, registry, {
        "{data}/scripts/odd-tool": "#!python\n", "{data}/data/share/odd/x": "x",
        "{data}/data/etc/odd.conf": "x", "odd.pth": "# a note\nodd_more\n",
        "odd/sitecustomize.py": "kind = 1\n",
        "linked.py": "LINK:/etc/passwd",
    })  # fmt: skip
    pip_builder.fetch(workspace.job)
    pip_builder.install(workspace.job)
    assert (workspace.job.tree / "share/odd/x").is_file()
    assert not (
        workspace.job.tree / interpreter.SITE / "linked.py"
    ).is_symlink()  # pip writes a file
    pip_builder.fetched(workspace.job, pip_builder.contents(workspace.job))
    assert pip_builder.came_from(workspace.job) == {"odd 1.0": f"127.0.0.1:{registry.port}"}


def test_only_the_operator_can_allow_code_at_interpreter_start(
    workspace: Workspace, registry: Registry
) -> None:
    lock_wheel(workspace, registry, {"x.pth": "import os\n"})
    workspace.job = Job(
        definition=workspace.job.definition, workspace=workspace.job.workspace, log=workspace.job.log,
        start_files=("Odd",),
    )  # fmt: skip
    pip_builder.fetch(workspace.job)
    pip_builder.install(workspace.job)
    assert "odd runs code when Python starts" in "\n".join(workspace.said)


def test_code_at_the_start_does_not_run_in_the_build(
    workspace: Workspace, registry: Registry
) -> None:
    """Check that the compiling interpreter, which can write in the tree, runs no start-up code."""
    code = "import pathlib; pathlib.Path('/build/ran').write_text('x')\n"
    lock_wheel(workspace, registry, {"x.pth": code, "sitecustomize.py": code})
    workspace.job = Job(
        definition=workspace.job.definition, workspace=workspace.job.workspace, log=workspace.job.log,
        start_files=("odd",),
    )  # fmt: skip
    pip_builder.fetch(workspace.job)
    pip_builder.install(workspace.job)
    assert not workspace.ran
    assert list(
        (workspace.job.tree / interpreter.SITE / "__pycache__").glob("odd.*")
    )  # the module was compiled


# From one build to the next.


def test_a_lie_of_a_registry_does_not_reach_the_next_build(
    tmp_path: Path, machine: dict[str, str], registry: Registry
) -> None:
    """Keep the cache of a build with a lying registry: the next build asks again."""
    kept = tmp_path / "kept"
    truth = dict(registry.answers)
    registry.publish_npm("good", "1.0.0", {"index.js": "'evil'\n"})
    first = Workspace(tmp_path / "first")
    built(first, kept)
    assert "evil" in (first.job.tree / "node_modules/good/index.js").read_text()
    registry.answers.update(truth)
    registry.asked.clear()
    second = Workspace(tmp_path / "second")
    built(second, kept)
    assert (second.job.tree / "node_modules/good/index.js").read_text() == "1\n"
    assert "/good" in [path for path, _ in registry.asked]


def built(workspace: Workspace, kept: Path) -> None:
    workspace.write(**{"package.json": package_json(good="1.0.0")})
    npm_builder.relock(workspace.job)
    wanted = npm_builder.contents(workspace.job)
    workspace.job.origins.update(downloads.take(kept, wanted, workspace.job.workspace))
    npm_builder.fetch(workspace.job)
    downloads.keep(kept, wanted, npm_builder.fetched(workspace.job, wanted), workspace.job.origins)


@pytest.mark.parametrize("how", ["index", "content"])
def test_a_forged_cache_entry_is_not_used(
    tmp_path: Path, machine: dict[str, str], registry: Registry, how: str
) -> None:
    kept = tmp_path / "kept"
    first = Workspace(tmp_path / "first")
    built(first, kept)
    [file] = kept.rglob("content")
    file.write_bytes(registry.answers["/good"] if how == "index" else b"evil")
    second = Workspace(tmp_path / "second")
    built(second, kept)
    assert (second.job.tree / "node_modules/good/index.js").read_text() == "1\n"


def test_a_cached_wheel_is_not_fetched_again(
    tmp_path: Path, machine: dict[str, str], registry: Registry
) -> None:
    kept = tmp_path / "kept"
    for name in ("first", "second"):
        workspace = Workspace(tmp_path / name)
        lock_wheel(workspace, registry, {})
        wanted = pip_builder.contents(workspace.job)
        workspace.job.origins.update(downloads.take(kept, wanted, workspace.job.workspace))
        pip_builder.fetch(workspace.job)
        downloads.keep(
            kept, wanted, pip_builder.fetched(workspace.job, wanted), workspace.job.origins
        )
        assert pip_builder.came_from(workspace.job) == {"odd 1.0": f"127.0.0.1:{registry.port}"}
    assert sum(path.startswith("/files/") for path, _ in registry.asked) == 1
    assert pip_lock.locked(workspace.job) == {"odd": "1.0"}
