"""Class 17, npm: hostile definitions and packages attack the fetch step.

The builder is called as in a build, on trees that no reader has screened. Some attacks run twice:
`whole` as in a build, and `bare` without npm's options and with the tree's `.npmrc`, so that only
the kernel and the network protect the host.
"""

import json
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from templatemgr.builders.base import Job
from templatemgr.builders.npm import npm_builder
from templatemgr.errors import BuildError
from tests.attacks.fetch.conftest import TOKEN, Workspace, package_json
from tests.attacks.loopback_registries import Registry

CANARY = "#!/bin/sh\necho ran >> /build/ran\ncat /npm-config/user >> /build/ran\nexit 1\n"


@pytest.fixture(params=["whole", "bare"])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether npm sees the tree's .npmrc and lacks our options."""
    if request.param == "bare":
        monkeypatch.setattr(npm_builder, "hidden", lambda _job: nullcontext())
        monkeypatch.setattr(
            npm_builder, "HELD", tuple(f for f in npm_builder.HELD if "config=" in f)
        )
        monkeypatch.setattr(npm_builder, "SAME_TREE", ())
    return bool(request.param == "bare")


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
def test_a_lock_leads_only_to_registries(workspace: Workspace, bare: bool, name: str) -> None:
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


def test_the_right_package_is_installed_for_each_hostile_tree(
    workspace: Workspace, registry: Registry, elsewhere: Registry
) -> None:
    workspace.write(**{
        ".npmrc": f"registry={elsewhere.url}/\nproxy={elsewhere.url}\nignore-scripts=false\n",
        "package.json": package_json(good="1.0.0"),
    })  # fmt: skip
    npm_builder.relock(workspace.job)
    npm_builder.fetch(workspace.job)
    assert (workspace.job.tree / "node_modules/good/index.js").read_text() == "1\n"
    assert (workspace.job.tree / ".npmrc").read_text().startswith("registry=")  # restored
    assert {given for _, given in registry.asked} == {f"Bearer {TOKEN}"}
    place = f"127.0.0.1:{registry.port}"
    npm_builder.fetched(workspace.job, npm_builder.contents(workspace.job))
    assert npm_builder.came_from(workspace.job) == {"good 1.0.0": place}


def test_a_tarball_on_another_host_and_a_redirect_to_it_are_refused(
    workspace: Workspace, registry: Registry, elsewhere: Registry
) -> None:
    answer = registry.answers["/good"]
    registry.answers["/good"] = answer.replace(
        f"{registry.url}/good".encode(), f"{elsewhere.url}/good".encode()
    )
    workspace.write(**{"package.json": package_json(good="1.0.0")})
    npm_builder.relock(workspace.job)
    with pytest.raises(BuildError) as caught:
        npm_builder.fetch(workspace.job)
    assert elsewhere.asked == []
    assert f"127.0.0.1:{elsewhere.port} is closed" in "\n".join(workspace.said)
    assert "STENCIL_FETCH_HOSTS" in str(caught.value.remedy)
    registry.answers["/good"] = answer
    registry.redirects["/good/-/good-1.0.0.tgz"] = f"{elsewhere.url}/good/-/good-1.0.0.tgz"
    with pytest.raises(BuildError):
        npm_builder.fetch(workspace.job)
    assert elsewhere.asked == []


def test_only_the_operator_can_allow_another_host(
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
    assert [given for path, given in elsewhere.asked] == [""]  # no token
    assert workspace.job.reached - workspace.job.configured == {("127.0.0.1", elsewhere.port)}


def test_a_second_lock_is_refused(workspace: Workspace) -> None:
    workspace.write(**{
        "package.json": package_json(good="1.0.0"), "package-lock.json": '{"packages": {}}',
        "npm-shrinkwrap.json": "{}",
    })  # fmt: skip
    with pytest.raises(BuildError, match=r"npm would read npm-shrinkwrap\.json instead"):
        npm_builder.fetch(workspace.job)


# Names and contents of packages.

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
def test_a_listed_install_script_changes_only_its_own_package(
    tmp_path: Path, machine: dict[str, str], registry: Registry, name: str
) -> None:
    workspace = scripted(tmp_path, registry, SCRIPTS[name])
    with pytest.raises(BuildError, match="changed other files") as caught:
        npm_builder.install(workspace.job)
    assert "install script of scripted" in caught.value.message


def test_an_install_script_may_change_its_own_package(
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
