"""Class 5: a submission sees no secret, no inherited descriptor, no host and no other execution."""

import os
from dataclasses import replace

import pytest

from sandbox.isolation.launch import starts_as_root
from tests.attacks.attack import Attack, call, program, shell, tries
from tests.attacks.conftest import Assault
from tests.attacks.testbed import SECRET, Arena

GONE = ("ENOENT", "EACCES", "EPERM", "ENOTDIR")
HIDDEN = {
    "the canary": "@SECRET_FILE@",
    "the canary by the first process": "/proc/1/root@SECRET_FILE@",
    "the canary by our own root": "/proc/self/root@SECRET_FILE@",
    "the canary by our own folder": "/proc/self/cwd/../../../../../..@SECRET_FILE@",
    "the canary by dots": "../../../../../../../..@SECRET_FILE@",
    "the service's folder": "@HOME@/manage.py",
    "the service's data": "@HOME@/var/db.sqlite3",
    "root's home": "/root/.bashrc",
    "passwords": "/etc/shadow",
    "the machine's id": "/etc/machine-id",
    "the host's name": "/etc/hostname",
    "the resolver": "/etc/resolv.conf",
    "the container's mark": "/run/secrets",
    "docker's socket": "/var/run/docker.sock",
    "system folders": "/sys/kernel",
    "control groups": "/sys/fs/cgroup",
    "the boot folder": "/boot",
    "kernel memory": "/proc/kcore",
    "kernel messages": "/proc/kmsg",
    "memory of the machine": "/dev/mem",
    "a terminal": "/dev/tty",
    "new terminals": "/dev/ptmx",
    "terminals of others": "/dev/pts/0",
    "a host process": "/proc/@PID@/environ",
    "a host process's root": "/proc/@PID@/root/etc/shadow",
}
SWITCHES = {
    "the core pattern": "/proc/sys/kernel/core_pattern",
    "the module loader": "/proc/sys/kernel/modprobe",
    "the magic key": "/proc/sysrq-trigger",
    "the memory switch": "/proc/sys/vm/overcommit_memory",
    "a network switch": "/proc/sys/net/ipv4/ip_forward",
    "interrupts": "/proc/irq/default_smp_affinity",
    "a new uid map": "/proc/self/uid_map",
    "another label": "/proc/self/attr/exec",
    "the log of the kernel": "/dev/kmsg",
    "a device of another name": "/dev/x",
    "the program it runs": "/proc/self/exe",
    "the program the first process runs": "/proc/1/exe",
    "a tool of the host": "/usr/bin/setpriv",
    "a library of the host": "/usr/lib64/x",
    "users": "/etc/passwd",
}
LEFT_OPEN = """
    const kinds = [];
    for (const pid of processes()) for (let fd = 0; fd < 300; fd++)
      try { kinds.push(fs.readlinkSync(`/proc/${pid}/fd/${fd}`)); } catch {}
    const own = /^(pipe:|anon_inode:|socket:|[/]dev[/]null|[/]proc[/])/;
    say(kinds.filter((kind) => !own.test(kind)));
"""
BY_DESCRIPTOR = """
    const found = [];
    for (let fd = 0; fd < 64; fd++) for (const up of ["/..", "/../..", "/../../.."])
      try { found.push(...fs.readdirSync(`/proc/self/fd/${fd}${up}`)); } catch {}
    say(found.includes("root") || found.includes("home"));
"""
# In a user namespace the first process is bubblewrap, with the same user and in the same cage.
# The test checks that it has no more rights than the submission.
OTHER_USERS = {
    "environment": "fs.readFileSync('/proc/1/environ')",
    "memory": "fs.openSync('/proc/1/mem', 'r+')",
    "map": "fs.readFileSync('/proc/1/maps')",
    "descriptors": "fs.readdirSync('/proc/1/fd')",
    "score": "fs.writeFileSync('/proc/1/oom_score_adj', '1000')",
}
FIRST = (
    *(tries(f"the first process's {name}", code, *GONE) for name, code in OTHER_USERS.items()),
) if starts_as_root() else (
    program(
        "rights of the first process",
        """const text = fs.readFileSync("/proc/1/status", "utf8");
           say(["CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"].map((key) =>
             text.match(`${key}:[ \t]*([0-9a-f]+)`)[1]));""",
        ["0" * 16, "0" * 16, "0" * 16, "1", "2"],
    ),
)  # fmt: skip
EVERYTHING = """
    let found = false;
    for (const folder of ["/proc", "/proc/1", "/proc/self", "/proc/net", "/proc/sys/kernel"])
      for (const name of fs.readdirSync(folder)) try {
        const fd = fs.openSync(`${folder}/${name}`, fs.constants.O_NONBLOCK);
        const chunk = Buffer.alloc(1 << 20);
        found ||= chunk.toString("latin1", 0, fs.readSync(fd, chunk)).includes("@SECRET@");
      } catch {}
    say(found);
"""
ATTACKS: tuple[Attack, ...] = (
    *(
        tries(f"read {name}", f"fs.statSync('{at}').isFile() && fs.readFileSync('{at}', 'utf8')",
             *GONE)
        for name, at in HIDDEN.items()
    ),
    *(
        tries(
            f"write {name}",
            f"fs.writeFileSync('{at}', '|/tmp/x')",
            *GONE, "EROFS", "ETXTBSY", "EISDIR", "EINVAL", "EIO",
        )
        for name, at in SWITCHES.items()
    ),
    tries("keys of the service's session", "fs.readFileSync('/proc/keys')", *GONE),
    shell("printenv", "env; cat /proc/*/environ 2>/dev/null | cat", never=SECRET),
    shell("command lines", "cat /proc/*/cmdline", never="@HOME@"),
    shell("arguments of the first process", "cat /proc/1/cmdline", never="--ro-bind"),
    program("every file of /proc", EVERYTHING, False),
    program("processes of others", "say(processes().length <= 3);", True),
    program("descriptors left open", LEFT_OPEN, []),
    program("a working folder by a descriptor", BY_DESCRIPTOR, False),
    program("the host's name", "say(os.hostname());", "sandbox"),
    program("users of the host", "say(os.userInfo().username);", "sandbox"),
    tries("descriptor 3 in run mode", "fs.readlinkSync('/proc/self/fd/3').startsWith('socket')",
         *GONE, False),
    tries("signals to a host process", "process.kill(@PID@, 0)", "ESRCH"),
    tries("signals to every process", "process.kill(-@PID@, 'SIGKILL')", "ESRCH"),
    *FIRST,
    call("race_copy_on_write", "EROFS"),
    call("write_own_binary", "EROFS", "ETXTBSY", "EACCES"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_host_is_not_visible(attack: Attack, assault: Assault) -> None:
    assault(attack)


def test_a_descriptor_that_the_service_leaks_is_not_inherited(
    arena: Arena, assault: Assault
) -> None:
    """Repeat runc's CVE-2024-21626: a folder of the host is open at the start."""
    leaks = [os.open(arena.canaries, os.O_RDONLY) for _ in range(3)]
    try:
        for leak in leaks:
            os.set_inheritable(leak, True)
        for attack in ATTACKS:
            if attack.name in ("descriptors left open", "a working folder by a descriptor"):
                assault(attack)
    finally:
        for leak in leaks:
            os.close(leak)


VICTIM = program(
    "victim",
    """for (const at of ["/tmp", "/dev/shm", "/workspace/src"]) fs.writeFileSync(at + "/own", "x");
    await new Promise((done) => net.createServer().listen("\\0stencil-attack-inside", done));
    setTimeout(() => process.exit(0), 700);""",
)
SPY = """
    await new Promise((done) => setTimeout(done, 250));
    const seen = [];
    const look = (body) => { try { seen.push(body()) } catch {} };
    for (const pid of processes()) {
      look(() => fs.readFileSync(`/proc/${pid}/environ`, "utf8"));
      look(() => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      for (const at of ["tmp", "dev/shm", "workspace/src"])
        look(() => fs.readdirSync(`/proc/${pid}/root/${at}`).join());
    }
    say([seen.some((text) => /own|VICTIM/.test(text)),
      await reach("\\0stencil-attack-inside"),
      fs.readFileSync("/proc/net/unix", "utf8").includes("stencil-attack")]);
"""


def test_another_execution_is_not_visible(arena: Arena) -> None:
    """Look for its environment, files, processes and sockets while it runs."""
    victim = replace(VICTIM, environment={"VICTIM": "secret"})
    spy = program("spy", SPY, [False, "ECONNREFUSED", False])
    with arena.meanwhile(victim):
        fault = spy.breach(arena.run(spy))
    assert fault is None
