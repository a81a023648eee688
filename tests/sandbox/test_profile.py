"""Test the arguments of bubblewrap, which a pure function computes; nothing is started."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.cage import Cage, cage_profile
from sandbox.isolation.profile import (
    Descriptors,
    Host,
    Profile,
    Tmpfs,
    host_layout,
    options,
    parked,
    variables,
)
from sandbox.limits import Limits
from sandbox.network.egress import ADDRESS, Egress
from sandbox.session.sessions import Tree, tree_profile

ROOT_HOST = Host(
    bwrap="/b/bwrap",
    as_root=True,
    binds=("/usr/lib/x", "/usr/bin/sh"),
    links=(("usr/bin", "/bin"),),
)
USER_HOST = Host(bwrap="/b/bwrap", as_root=False, binds=ROOT_HOST.binds, links=ROOT_HOST.links)
DESCRIPTORS = Descriptors(seccomp=4, block=5, info=6, files=(("/etc/passwd", 7),))
TREE = Tree(
    root=Path("/data/v/tree"),
    cache=Path("/data/v/cache"),
    links=("node_modules",),
    command=("bin/node", "--flag=a/b", "runner/main.mjs", "test"),
    env={"NODE_COMPILE_CACHE": "/cache/v8"},
)


def argv(host: Host = ROOT_HOST, profile: Profile | None = None) -> tuple[str, ...]:
    """Return the options followed by the command."""
    inside = profile or tree_profile(TREE, Limits())
    visible = parked(host, inside.command, options=8, variables=len(variables(inside)))
    return (*options(host, inside, DESCRIPTORS), *visible[visible.index("--") :])


def holds(items: tuple[str, ...], *wanted: str) -> bool:
    return any(items[at : at + len(wanted)] == wanted for at in range(len(items)))


def test_equal_values_give_equal_arguments() -> None:
    assert argv() == argv()


def test_the_visible_argv_names_nothing_but_the_command() -> None:
    visible = parked(USER_HOST, ("/template/bin/node", "run"), options=8, variables=3)
    named = ("--hostname", "sandbox", "--args", "8", "--", "/template/bin/node", "run")
    assert visible == ("/b/bwrap", *named)


def test_the_option_for_the_host_name_comes_last() -> None:
    for host in (ROOT_HOST, USER_HOST):
        found = options(host, tree_profile(TREE, Limits()), DESCRIPTORS)
        assert found.index("--unshare-uts") == len(found) - 1


def test_no_writable_folder_of_the_host_is_shown() -> None:
    for host in (ROOT_HOST, USER_HOST):
        assert "--bind" not in argv(host)
        found = argv(host)
        shown = [found[at + 1] for at, item in enumerate(found) if item == "--dev-bind"]
        assert shown == [f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero")]


def test_sensitive_files_of_proc_cannot_be_opened() -> None:
    host = replace(ROOT_HOST, hidden=("/proc/keys",))
    assert holds(argv(host), "--ro-bind", "/dev/null", "/proc/keys")
    assert not holds(argv(), "--ro-bind", "/dev/null")


def test_a_submission_has_no_network_and_a_cleared_environment() -> None:
    for host in (ROOT_HOST, USER_HOST):
        found = argv(host)
        for flag in ("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"):
            assert flag in found
        assert "--clearenv" in found
        assert "--die-with-parent" in found
        assert "--new-session" in found
        assert holds(found, "--seccomp", "4")


def test_a_user_gets_a_user_namespace_and_root_drops_by_setpriv() -> None:
    user, root = argv(USER_HOST), argv(ROOT_HOST)
    assert "--unshare-user" in user
    assert holds(user, "--uid", "60600", "--gid", "60600")
    assert "--unshare-user" not in root
    assert holds(root, "--cap-drop", "ALL")
    command = root[root.index("--") + 1 :]
    assert command[0] == "/usr/bin/setpriv"
    assert {"--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"} < set(
        command
    )
    assert user[user.index("--") + 1] == "/template/bin/node"


def test_as_root_no_variable_has_its_name_before_the_rights_are_dropped() -> None:
    hostile = replace(TREE, env={"LD_PRELOAD": "/template/x.so", "A": "b=c $d"})
    found = argv(profile=tree_profile(hostile, Limits()))
    names = [found[at + 1] for at, item in enumerate(found) if item == "--setenv"]
    assert names == [f"STENCIL_{number}" for number in range(len(names))]
    assert holds(found, "--setenv", "STENCIL_0", "A=b=c $d")
    assert holds(found, "--setenv", "STENCIL_3", "LD_PRELOAD=/template/x.so")
    command = found[found.index("--") + 1 :]
    at = command.index("/usr/bin/env")
    assert command[at - 1 : at] == ("--",)  # setpriv's own last argument
    held = " ".join(f'"${{{name}}}"' for name in names)
    assert command[at : at + 4] == ("/usr/bin/env", "-S", f"-i {held}", "/template/bin/node")
    assert not any("x.so" in item or "$d" in item for item in command)


def test_as_root_a_program_whose_name_would_be_a_variable_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have a '='"):
        parked(ROOT_HOST, ("/template/a=b",), options=8, variables=0)
    assert parked(USER_HOST, ("/template/a=b",), options=8, variables=0)[-1] == "/template/a=b"


def test_a_tree_is_shown_read_only_with_its_links() -> None:
    found = argv(USER_HOST)
    assert holds(found, "--ro-bind", "/data/v/tree", "/template")
    assert holds(found, "--ro-bind", "/data/v/cache", "/cache")
    assert holds(found, "--symlink", "/template/node_modules", "/workspace/node_modules")
    assert found[-4:] == ("/template/bin/node", "--flag=a/b", "/template/runner/main.mjs", "test")
    assert holds(found, "--setenv", "STENCIL_MODE", "test")
    assert "STENCIL_COLD" not in found
    cold = argv(USER_HOST, tree_profile(TREE, Limits(), cold=True))
    assert holds(cold, "--setenv", "STENCIL_COLD", "1")
    assert holds(found, "--setenv", "NODE_COMPILE_CACHE", "/cache/v8")


def test_writable_folders_have_a_size() -> None:
    found = argv(profile=tree_profile(TREE, Limits(disk_bytes=1234)))
    for at in ("/workspace", "/tmp", "/dev/shm"):
        assert holds(found, "--perms", "1777", "--size", "1234", "--tmpfs", at)


def test_folders_are_sealed_after_all_mounts() -> None:
    found = argv()
    assert found.index("--remount-ro") > max(
        at
        for at, item in enumerate(found)
        if item in ("--tmpfs", "--ro-bind", "--dir", "--symlink")
    )


def test_no_cage_shares_the_hosts_network() -> None:
    cage = Cage(writable=Path("/data/staging"))
    alone = argv(profile=cage_profile(cage, ["npm"]))
    assert "--unshare-net" in alone
    assert holds(alone, "--bind", "/data/staging", "/build")
    assert holds(alone, "--chdir", "/build")
    out = cage_profile(Cage(writable=Path("/data/staging"), egress=Egress()), ["npm"])
    assert "--unshare-net" in argv(profile=out)
    assert out.alone
    assert not cage_profile(cage, ["npm"]).alone
    assert out.environment["HTTPS_PROXY"] == out.environment["http_proxy"] == ADDRESS
    assert "/etc/resolv.conf" not in str(argv(profile=out))


def test_parent_folders_of_mounts_can_be_entered() -> None:
    profile = Profile(
        command=("x",), directory="/", environment={}, binds=(("/h", "/opt/a/b", False),),
        tmpfs=(Tmpfs(at="/tmp", size_bytes=1),),
    )  # fmt: skip
    found = argv(profile=profile)
    for at in ("/opt", "/opt/a", "/usr", "/usr/bin"):
        assert holds(found, "--perms", "0755", "--dir", at)
    assert not holds(found, "--dir", "/")


@pytest.mark.parametrize("merged", [True, False])
def test_hosts_of_either_layout_are_understood(tmp_path: Path, merged: bool) -> None:
    (tmp_path / "usr/lib64").mkdir(parents=True)
    (tmp_path / "usr/lib64/libc.so.6").touch()
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/env").touch()
    if merged:
        (tmp_path / "bin").symlink_to("usr/bin")
        (tmp_path / "usr/bin/sh").touch()
        (tmp_path / "lib64").symlink_to("usr/lib64")
    else:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/sh").touch()
        (tmp_path / "lib64").mkdir()
    host = host_layout(bwrap="b", as_root=False, root=tmp_path)
    shell = "/usr/bin/sh" if merged else "/bin/sh"
    assert {"/usr/lib64", "/usr/bin/env", shell} <= set(host.binds)
    assert ("/lib64" in host.binds) is not merged
    assert (("usr/lib64", "/lib64") in host.links) is merged


def test_without_libc_in_a_known_folder_all_of_usr_lib_is_shown(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    assert "/usr/lib" in host_layout(bwrap="b", as_root=False, root=tmp_path).binds
