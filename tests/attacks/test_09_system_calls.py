"""Class 9: system calls, other ABIs, namespaces, other processes, identity."""

import pytest

from sandbox.session.outcome import State
from tests.attacks.attack import Attack, call
from tests.attacks.conftest import Assault

REFUSED = """
    mount_tmpfs mount_bind remount_writable mount_proc unmount pivot change_root open_tree
    move_mount fsopen fsconfig fsmount fspick mount_setattr unshare_user unshare_net unshare_mount
    unshare_pid unshare_all clone_user clone_user_hidden clone_net clone_mount clone_pid clone_ipc
    clone_uts clone_cgroup setns_first setns_file trace_child trace_me trace_first read_memory
    write_memory compare steal_descriptor advise_other move_pages migrate_pages bpf_map
    bpf_program perf userfault uring_setup uring_enter uring_register key_join key_read key_add
    key_request module_init module_file module_delete kexec kexec_file swap_on swap_off restart
    kernel_log account quota hang_up by_handle to_handle fanotify secret_memory filter_more numa
    io_level io_ports local_table set_time set_clock adjust adjust_clock host_name domain_name
    packet alg bluetooth can xdp tipc rds kcm pppox llc ax25 smc qipcrtr netlink_audit
    netlink_events netlink_filter netlink_generic netlink_crypto raw_ip raw_ip6 pair_vsock
    new_link raise_link more_groups file_root
    capabilities one_capability ambient keep_capabilities change_mm device_null
    device_memory device_disk no_random_addresses execute_all real_time first_disk raise_files
    raise_size raise_cpu raise_core
    """

ATTACKS: tuple[Attack, ...] = (
    *(call(name, "EPERM") for name in REFUSED.split()),
    # A filter cannot read the flags of clone3: the call fails as unknown, and programs fall back.
    *(call(name, "ENOSYS") for name in ("clone3_user", "clone3_into_cgroup")),
    call("unknown", "EPERM", "ENOSYS"),
    *(
        call(name, "EPERM", "EINVAL")  # EINVAL: the user does not exist in a user namespace
        for name in ("become_root", "become_root_group", "become_all", "setuid_copy")
    ),
    call("signal_host", "ESRCH"),
    call("new_privileges", "EINVAL"),
    call("nicer", "EACCES", "EPERM"),
    *(call(name, "ENOTTY", "ENXIO", "ENOENT", "EIO") for name in ("inject", "paste")),
    *(
        call(name, "ENOTTY", "EBADF", "ENXIO", "EPERM")
        for name in ("take_console", "take_terminal")
    ),
    *(
        Attack(name=name, kind="call", code=name, states=(State.CRASHED,))
        for name in (
            "int80",
            "int80_mount",
            "sysenter_far",
            "x32_getpid",
            "x32_ptrace",
            "x32_execve",
        )
    ),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_call_is_refused(attack: Attack, assault: Assault) -> None:
    assault(attack)
