"""Class 17: definitions and packages against the step that fetches, with every reader out of the way.

The builders are called as a build calls them, on trees that no reader has looked at. Attacks are
run twice where that says more: `whole` as it is, and `bare` with npm's options and the taking away of
`.npmrc` (or pip's audit hook and own filter) gone, so that the kernel and the network alone hold.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from templatemgr import downloads
from templatemgr.builders import interpreter
from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder
from templatemgr.builders.pip import online_pip, pip_builder, pip_lock
from templatemgr.errors import BuildError
from tests.attacks.loopback_registries import Registry, serve
from tests.templatemgr.builders import sdists

TOKEN = "npm_S3cretOfTheMachine42"
CANARY = "#!/bin/sh\necho ran >> /build/ran\ncat /npm-config/user >> /build/ran\nexit 1\n"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serve() as found:
        found.publish_npm("good", "1.0.0", {"index.js": "1\n"})
        yield found


@pytest.fixture
def elsewhere() -> Iterator[Registry]:
    """An attacker's registry, or a neighbour on loopback: nobody configured it."""
    with serve() as found:
        found.publish_npm("good", "1.0.0", {"index.js": "'evil'\n"})
        yield found


@pytest.fixture
def machine(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This machine's configuration: one registry with a token, and nothing of the real machine."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".npmrc").write_text(
        f"registry={registry.url}/\n//127.0.0.1:{registry.port}/:_authToken=${{CORP_TOKEN}}\n"
    )
    (home / ".netrc").write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
    (home / "pip.conf").write_text(f"[global]\nindex-url = {registry.url}/simple/\nretries = 0\n")
    for name in os.environ:
        if name.lower().startswith(("npm_config_", "pip_")):
            monkeypatch.delenv(name)
    values = {
        "HOME": str(home),
        "CORP_TOKEN": TOKEN,
        "npm_config_globalconfig": "/none",
        "PIP_CONFIG_FILE": str(home / "pip.conf"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(npm_builder, "PATIENCE", ("--fetch-retries=0", "--fetch-timeout=10000"))
    return values


class Workspace:
    """A job on files of a tree, and what it said."""

    def __init__(self, folder: Path, **values: object) -> None:
        self.said: list[str] = []
        wanted = {"install_scripts": (), "prune": (), "toolchain": {}} | values
        self.job = Job(
            definition=cast("Any", SimpleNamespace(**wanted)),
            workspace=folder,
            log=lambda _stream, text: self.said.append(text),
        )
        self.job.downloads.mkdir(parents=True)
        self.job.tree.mkdir()

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.job.tree / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    @property
    def ran(self) -> bool:
        """Whether a program of the tree was started."""
        return any(self.job.workspace.rglob("ran"))


@pytest.fixture
def workspace(tmp_path: Path, machine: dict[str, str]) -> Workspace:
    return Workspace(tmp_path / "work")


@pytest.fixture(params=["whole", "bare"])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether npm sees the tree's .npmrc, without our options."""
    if request.param == "bare":
        monkeypatch.setattr(npm_builder, "hidden", lambda _job: nullcontext())
        monkeypatch.setattr(
            npm_builder, "HELD", tuple(f for f in npm_builder.HELD if "config=" in f)
        )
        monkeypatch.setattr(npm_builder, "SAME_TREE", ())
    return bool(request.param == "bare")


def package_json(**dependencies: str) -> str:
    return json.dumps({"name": "x", "private": True, "dependencies": dependencies})


SH = "/build/tree/node_modules.sh"
GIT = {
    "name": "x",
    "optionalDependencies": {f"g{n}": f"git+ssh://git@127.0.0.1/x/{n}.git" for n in range(40)},
}
PROGRAMS = {
    "git, forty times": f"git={SH}\nallow-git=all\n",
    "git in node_modules": "git=/build/tree/node_modules/x/git.sh\nallow-git=all\n",
    "git of the root alone": f"git={SH}\nallow-git=root\n",
    "a shell for scripts": f"git={SH}\nscript-shell={SH}\nignore-scripts=false\nallow-git=all\n",
    "a shell": f"git={SH}\nshell={SH}\nignore-scripts=false\n",
    "an editor": f"git={SH}\neditor={SH}\n",
    "a viewer": f"git={SH}\nviewer={SH}\n",
    "node's options": f"git={SH}\nnode-options=--require={SH}\nignore-scripts=false\n",
    "node-gyp": f"git={SH}\nnode-gyp={SH}\nignore-scripts=false\n",
    "a prefix elsewhere": f"git={SH}\nprefix=/build/tree/other\nallow-git=all\n",
    "another user's file": f"git={SH}\nuserconfig=/build/tree/more\nallow-git=all\n",
    "another global file": f"git={SH}\nglobalconfig=/build/tree/more\nallow-git=all\n",
    "init modules": f"git={SH}\ninit-module={SH}\n",
    "scripts, dangerously": f"git={SH}\ndangerously-allow-all-scripts=true\nignore-scripts=false\n",
    "a section": f"git={SH}\n[x]\ngit={SH}\n",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_that_a_tree_names_is_started(
    workspace: Workspace, bare: bool, name: str
) -> None:
    package = {**GIT, "scripts": {"preinstall": SH, "postinstall": SH, "prepare": SH}}
    workspace.write(**{
        ".npmrc": PROGRAMS[name], "package.json": json.dumps(package),
        "more": f"git={SH}\nallow-git=all\n", "node_modules.sh": CANARY,
    })  # fmt: skip
    with suppress(BuildError):
        npm_builder.relock(workspace.job)
    assert not workspace.ran
    assert TOKEN not in str(list(workspace.job.tree.rglob("ran")))


LOCKED = {
    "git+ssh": "git+ssh://git@127.0.0.1/x/y.git#" + "a" * 40,
    "git+file": "git+file:///build/tree/repository#" + "a" * 40,
    "git+ext": "git+ext::sh -c /build/tree/node_modules.sh#" + "a" * 40,
    "a file": "file:thing.tgz",
    "a folder": "file:thing",
    "an address": "https://evil.example/thing.tgz",
    "metadata": "http://169.254.169.254/latest/meta-data",
}


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_leads_to_registries_alone(workspace: Workspace, bare: bool, name: str) -> None:
    package = {"name": "x", "dependencies": {"thing": LOCKED[name]}}
    lock = {
        "name": "x", "lockfileVersion": 3, "requires": True,
        "packages": {"": package, "node_modules/thing": {
            "version": "1.0.0", "resolved": LOCKED[name], "hasInstallScript": True}},
    }  # fmt: skip
    scripts = {"preinstall": SH, "install": SH, "prepare": SH, "prepack": SH}
    workspace.write(**{
        ".npmrc": f"git={SH}\nallow-git=all\nignore-scripts=false\nscript-shell={SH}\n",
        "package.json": json.dumps(package), "package-lock.json": json.dumps(lock),
        "node_modules.sh": CANARY,
        "thing__package.json": json.dumps({"name": "thing", "version": "1.0.0", "scripts": scripts}),
    })  # fmt: skip
    with suppress(BuildError):
        npm_builder.fetch(workspace.job)
    assert not workspace.ran
    assert workspace.job.reached <= workspace.job.configured


ELSEWHERE = {
    "another registry": "registry={url}/\n",
    "a registry with a variable": "registry={url}/${{CORP_TOKEN}}/\n",
    "a scope": "@corp:registry={url}/\n",
    "a proxy": "proxy={url}\nhttps-proxy={url}\nnoproxy=\n",
    "no proxy": "noproxy=127.0.0.1,localhost,.example\nregistry={url}/\n",
    "a token for it": "registry={url}/\n//127.0.0.1:{port}/:_authToken=${{CORP_TOKEN}}\n",
    "no TLS": "strict-ssl=false\nregistry={url}/\n",
    "its own certificate": "cafile=/build/tree/ca.pem\nregistry={url}/\n",
    "a host for registries": "replace-registry-host=always\nregistry={url}/\n",
    "a local address": "local-address=127.0.0.1\nregistry={url}/\n",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_configuration_of_a_tree_leads_elsewhere(
    workspace: Workspace, elsewhere: Registry, bare: bool, name: str
) -> None:
    text = ELSEWHERE[name].format(url=elsewhere.url, port=elsewhere.port)
    package = {"good": "1.0.0"} | ({"@corp/good": "1.0.0"} if "corp:" in text else {})
    workspace.write(**{".npmrc": text, "package.json": package_json(**package)})
    with suppress(BuildError):
        npm_builder.relock(workspace.job)
    assert elsewhere.asked == []
    assert workspace.job.reached <= workspace.job.configured


def test_the_right_package_comes_whatever_a_tree_says(
    workspace: Workspace, registry: Registry, elsewhere: Registry
) -> None:
    workspace.write(**{
        ".npmrc": f"registry={elsewhere.url}/\nproxy={elsewhere.url}\nignore-scripts=false\n",
        "package.json": package_json(good="1.0.0"),
    })  # fmt: skip
    npm_builder.relock(workspace.job)
    npm_builder.fetch(workspace.job)
    assert (workspace.job.tree / "node_modules/good/index.js").read_text() == "1\n"
    assert (workspace.job.tree / ".npmrc").read_text().startswith("registry=")  # it is back
    assert {given for _, given in registry.asked} == {f"Bearer {TOKEN}"}
    place = f"127.0.0.1:{registry.port}"
    npm_builder.fetched(workspace.job, npm_builder.contents(workspace.job))
    assert npm_builder.came_from(workspace.job) == {"good 1.0.0": place}


def test_a_tarball_elsewhere_and_a_redirect_there_are_refused(
    workspace: Workspace, registry: Registry, elsewhere: Registry
) -> None:
    told = registry.answers["/good"]
    registry.answers["/good"] = told.replace(
        f"{registry.url}/good".encode(), f"{elsewhere.url}/good".encode()
    )
    workspace.write(**{"package.json": package_json(good="1.0.0")})
    npm_builder.relock(workspace.job)
    with pytest.raises(BuildError) as caught:
        npm_builder.fetch(workspace.job)
    assert elsewhere.asked == []
    assert f"127.0.0.1:{elsewhere.port} is closed" in "\n".join(workspace.said)
    assert "STENCIL_FETCH_HOSTS" in str(caught.value.remedy)
    registry.answers["/good"] = told
    registry.redirects["/good/-/good-1.0.0.tgz"] = f"{elsewhere.url}/good/-/good-1.0.0.tgz"
    with pytest.raises(BuildError):
        npm_builder.fetch(workspace.job)
    assert elsewhere.asked == []


def test_a_further_host_is_the_operators_to_name(
    workspace: Workspace, registry: Registry, elsewhere: Registry
) -> None:
    registry.redirects["/good/-/good-1.0.0.tgz"] = f"{elsewhere.url}/moved.tgz"
    elsewhere.answers["/moved.tgz"] = registry.answers["/good/-/good-1.0.0.tgz"]
    workspace.write(**{"package.json": package_json(good="1.0.0")})
    workspace.job = Job(
        definition=workspace.job.definition, workspace=workspace.job.workspace, log=workspace.job.log,
        fetch_hosts=(f"127.0.0.1:{elsewhere.port}",),
    )  # fmt: skip
    npm_builder.relock(workspace.job)
    npm_builder.fetch(workspace.job)
    assert [path for path, given in elsewhere.asked] == ["/moved.tgz"]
    assert [given for path, given in elsewhere.asked] == [""]  # its token is the registry's alone
    assert workspace.job.reached - workspace.job.configured == {("127.0.0.1", elsewhere.port)}


def test_a_second_lock_is_refused(workspace: Workspace) -> None:
    workspace.write(**{
        "package.json": package_json(good="1.0.0"), "package-lock.json": '{"packages": {}}',
        "npm-shrinkwrap.json": "{}",
    })  # fmt: skip
    with pytest.raises(BuildError, match=r"npm-shrinkwrap\.json would be taken"):
        npm_builder.fetch(workspace.job)


# What packages are called and hold.

BINS = {
    "node": "cli.js", "npm": "cli.js", "sh": "cli.js", "../../../bin/node": "cli.js",
    "/bin/node": "cli.js", "x": "../../runner/main.sh", "y": "/etc/passwd",
}  # fmt: skip


def test_names_of_programs_do_not_leave_their_folder(
    workspace: Workspace, registry: Registry
) -> None:
    registry.publish_npm("bins", "1.0.0", {"cli.js": "#!/usr/bin/env node\n"}, bin=BINS)
    workspace.write(**{"package.json": package_json(bins="1.0.0"), "runner__main.sh": "ours\n"})
    (workspace.job.tree / "runner/main.sh").chmod(0o644)
    npm_builder.relock(workspace.job)
    with suppress(BuildError):
        npm_builder.fetch(workspace.job)
    assert sorted(path.name for path in workspace.job.tree.iterdir()) == [
        "node_modules", "package-lock.json", "package.json", "runner",
    ]  # fmt: skip
    assert (workspace.job.tree / "runner/main.sh").stat().st_mode & 0o777 == 0o644
    for link in workspace.job.tree.glob("node_modules/.bin/*"):
        assert link.resolve().is_relative_to(workspace.job.tree / "node_modules"), link


SCRIPTS = {
    "the runner": "echo evil > ../../runner/main.sh",
    "a linked file": "echo evil > ../../said.txt",
    "package.json": "echo '{}' > ../../package.json",
    "the runner's mode": "node -e \"fs.chmodSync('../../said.txt', 0o755)\"",
    "no runner": "node -e \"fs.rmSync('../../runner/main.sh')\"",
    "a link instead of the runner": "node -e \"fs.rmSync('../../said.txt'); fs.symlinkSync('/tmp/x', '../../said.txt')\"",
    "another package": "echo evil > ../good/index.js",
    "a package that nobody locked": "mkdir ../planted; echo evil > ../planted/index.js",
    "beside the runner": "echo evil > ../../runner/sitecustomize.py",
    "an interpreter": "mkdir -p ../../bin; echo evil > ../../bin/node",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_named_install_script_changes_its_own_package_alone(
    tmp_path: Path, machine: dict[str, str], registry: Registry, name: str
) -> None:
    workspace = scripted(tmp_path, registry, SCRIPTS[name])
    with pytest.raises(BuildError, match="changed what is not its own") as caught:
        npm_builder.install(workspace.job)
    assert "install script of scripted" in caught.value.message


def test_what_is_its_own_may_change(
    tmp_path: Path, machine: dict[str, str], registry: Registry
) -> None:
    script = "echo built > built.txt; mkdir -p ../.cache-of/x; echo y > ../.cache-of/x/y"
    workspace = scripted(tmp_path, registry, script)
    npm_builder.install(workspace.job)
    assert (workspace.job.tree / "node_modules/scripted/built.txt").read_text() == "built\n"


def scripted(tmp_path: Path, registry: Registry, script: str) -> Workspace:
    registry.publish_npm("scripted", "1.0.0", {}, scripts={"postinstall": script})
    workspace = Workspace(tmp_path / "work", install_scripts=("scripted",))
    workspace.write(**{
        "package.json": package_json(good="1.0.0", scripted="1.0.0"),
        "runner__main.sh": "ours\n", "said.txt": "ours\n",
    })  # fmt: skip
    (workspace.job.tree / "said.txt").chmod(0o644)
    npm_builder.relock(workspace.job)
    npm_builder.fetch(workspace.job)
    return workspace


# pip.


@pytest.fixture(params=["whole", "bare"])
def hooks(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether pip's process has its audit hook and its own filter, or the cage alone holds."""
    if request.param == "bare":
        text = Path(online_pip.__file__).read_text()
        bare = text.replace("    seal()\n    sys.addaudithook(refuse)\n", "")
        assert bare != text
        (tmp_path / "online_pip.py").write_text(bare)
        (tmp_path / "online_pip.py").chmod(0o644)
        monkeypatch.setattr(online_pip, "__file__", str(tmp_path / "online_pip.py"))
    return str(request.param)


SETUP = "import pathlib; pathlib.Path('/build/ran').write_text('x')\nraise SystemExit(1)\n"
# A backend of its own that takes nothing from an index: it is what pip starts first.
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
def test_pip_starts_nothing(workspace: Workspace, hooks: str, name: str) -> None:
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
def test_pip_goes_where_it_is_configured_alone(
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
    """A wheel of one module and these files; its RECORD names all."""
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
def test_a_wheel_brings_files_to_its_own_places_alone(
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


def test_code_at_the_start_is_the_operators_to_allow(
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
    """The interpreter that compiles the tree can write in it: what is installed waits."""
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
    )  # it was compiled


# From one build to the next.


def test_what_one_build_was_told_does_not_reach_the_next(
    tmp_path: Path, machine: dict[str, str], registry: Registry
) -> None:
    """A build whose registry lied, with its cache: the next one asks anew and gets what is true."""
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
def test_a_cache_that_was_written_by_hand_is_not_believed(
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


def test_a_wheel_that_is_kept_is_not_fetched_again(
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
