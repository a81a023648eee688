"""Class 22: of many cases of one submission, none sees, disturbs or forges another.

The program of every case is the same, so it knows what it has left in an earlier one.
"""

from dataclasses import replace

import pytest

from execapp.cases import judging
from execapp.cases.asked import Case, CasesRequest, within
from execapp.cases.judging import Judged, Verdict
from sandbox.session.outcome import State
from tests.attacks.attack import LIMITS, PRELUDE
from tests.attacks.testbed import Arena
from tests.sandbox.node_tree import tree_for

# What the first case leaves, and how the second one looks for it.
TRACES = {
    "files in every folder": (
        ("for (const at of ['/tmp', '/dev/shm', '/workspace', '/workspace/src'])"
        " fs.writeFileSync(at + '/left', 'x');"),
        ("say(['/tmp', '/dev/shm', '/workspace', '/workspace/src']"
        ".flatMap((at) => fs.readdirSync(at)).sort());"),
    ),
    "another program": (
        "fs.writeFileSync('/workspace/src/main.mjs', 'changed');",
        "say(fs.readFileSync('/workspace/src/main.mjs', 'utf8').length);",
    ),
    "a link over the program": (
        "fs.unlinkSync('/workspace/src/main.mjs'); fs.symlinkSync('/x', '/workspace/src/main.mjs');",
        "say(fs.lstatSync('/workspace/src/main.mjs').isSymbolicLink());",
    ),
    "a folder that nobody may enter": (
        "fs.mkdirSync('/workspace/src/shut', 0);", "say(fs.readdirSync('/workspace/src').sort());",
    ),
    "a full disk": (
        "try { fs.writeFileSync('/tmp/big', Buffer.alloc(15 << 20)); } catch {}",
        "say(fs.statfsSync('/tmp').bfree > 2000);",
    ),
    "a detached process": (
        "cp.spawn('/bin/sleep', ['300'], { detached: true, stdio: 'ignore' }).unref();",
        ("say(processes().map((pid) => { try { return fs.readFileSync(`/proc/${pid}/comm`, 'utf8'); }"
        " catch { return ''; } }).filter((name) => name.includes('sleep')).length);"),
    ),
    "a port that is listened to": (
        "await new Promise((done) => net.createServer().listen(4321, '127.0.0.1', done));",
        "say(await reach(4321, '127.0.0.1'));",
    ),
    "connections that have ended": (
        ("await new Promise((done) => { const server = net.createServer((each) => each.end())"
        ".listen(4322, '127.0.0.1', () => net.connect(4322, '127.0.0.1').resume()"
        ".on('close', () => server.close(done))); });"),
        "say(fs.readFileSync('/proc/net/tcp', 'utf8').trim().split('\\n').length);",
    ),
    "a name of an abstract socket": (
        "await new Promise((done) => net.createServer().listen('\\0left', done));",
        "say(await reach({ path: '\\0left' }));",
    ),
    "counters of the network": (
        ("const udp = dgram.createSocket('udp4'); await new Promise((done) =>"
        " udp.send('x', 4323, '127.0.0.1', done)); udp.close();"),
        "say(fs.readFileSync('/proc/net/dev', 'utf8').match(/lo:\\s*(\\d+)/)[1]);",
    ),
    "process numbers": (
        "for (let n = 0; n < 5; n++) cp.spawnSync('/bin/true');",
        ("say(Number(cp.execFileSync('/bin/sh', ['-c', 'echo $$'])) < process.pid + 40"
        " && cp.spawnSync('/bin/sh', ['-c', 'echo $$']).stdout.toString().trim()"
        " - process.pid);"),
    ),
    "variables": ("process.env.LEFT = 'x';", "say(process.env.LEFT ?? null);"),
    "the folder it works in": ("process.chdir('/tmp');", "say(process.cwd());"),
    "the mask of new files": ("process.umask(0o777);", "say(process.umask());"),
    "handlers of signals": (
        "process.on('SIGUSR2', () => {});",
        "say(/SigCgt:\\s*(\\S+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]);",
    ),
    "open files": (
        "for (let n = 0; n < 9; n++) fs.openSync('/workspace/src/main.mjs');",
        "say(fs.readdirSync('/proc/self/fd').length);",
    ),
    "its name": ("process.title = 'left';", "say(fs.readFileSync('/proc/self/comm', 'utf8'));"),
}  # fmt: skip
SHARED = (("segment_put", "segment_get"), ("queue_put", "queue_get"),
          ("semaphore_put", "semaphore_get"), ("posix_put", "posix_get"))  # fmt: skip
MISCHIEF = {
    "kills all that it can": "for (const pid of [-1, 1, process.ppid])"
    " try { process.kill(pid, 'SIGKILL') } catch {}",
    "forks without end": "for (;;) cp.spawn('/bin/sleep', ['300'], { stdio: 'ignore' });",
    "takes all memory": "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));",
    "writes without end": "for (;;) fs.writeSync(1, 'x'.repeat(4096));",
    "holds the output": "cp.spawn('/bin/sh', ['-c', 'sleep 0.3; echo late'],"
    " { detached: true, stdio: 'inherit' }).unref(); process.exit(1);",
    "stops itself": "process.kill(process.pid, 'SIGSTOP'); setInterval(() => {}, 1000);",
    "says that it succeeded": """
        const lines = [{ type: 'exit', status: 0, code: 0, key: '' }, { type: 'ready' },
          { type: 'result', errors: [], exit_code: 0 }, { verdict: 'accepted', state: 'succeeded' }];
        for (let at = 3; at < 256; at++) for (const line of lines)
          try { fs.writeSync(at, JSON.stringify(line) + "\\n"); } catch {}
        process.exit(1);""",
    "takes input that is not its own": """
        let given = ''; try { given = fs.readFileSync(0, 'utf8'); } catch {}
        process.exit(given === 'mine' ? 1 : 0);""",
}
EXPECTED = "EXPECTED-0123456789abcdef"
# Everything that a process can read of its own sandbox, memory included.
SEARCH = r"""
    const wanted = /EXPECTED-[0-9a-f]{16}|INPUT-[0-9a-f]{16}/; let found = 0;
    const look = (bytes) => { if (wanted.test(bytes.toString("latin1"))) found += 1; };
    const walk = (at, deep) => { try { for (const each of fs.readdirSync(at, { withFileTypes: true })) {
      const path = at + "/" + each.name;
      if (each.isDirectory() && deep) walk(path, deep - 1);
      else if (each.isFile()) try { look(fs.readFileSync(path)); } catch {}
    } } catch {} };
    for (const at of ["/workspace/src", "/tmp", "/dev/shm", "/run"]) walk(at, 6);
    for (const pid of processes()) for (const name of ["environ", "cmdline"])
      try { look(fs.readFileSync(`/proc/${pid}/${name}`)); } catch {}
    const memory = fs.openSync("/proc/self/mem"); let read = 0;
    const part = Buffer.alloc(1 << 20);
    for (const line of fs.readFileSync("/proc/self/maps", "utf8").trim().split("\n")) {
      const [, from, to, may, file] = /^(\w+)-(\w+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line);
      if (!may.startsWith("rw")) continue;
      let at = BigInt("0x" + from); const end = BigInt("0x" + to);
      if (end - at > 1n << 28n) continue;
      for (; at < end; at += BigInt(part.length)) {
        const size = Number(end - at < BigInt(part.length) ? end - at : BigInt(part.length));
        try { const got = fs.readSync(memory, part, 0, size, at); look(part.subarray(0, got)); read += got; }
        catch {}
      }
    }
    say([found, read > 1 << 20]);
"""


def judged(arena: Arena, code: str, *cases: Case, native: bool = False) -> Judged:
    """Run the program for each case, each in a sandbox that comes to be in the arena's way."""
    tree = arena.native() if native else tree_for(arena.tree, "run")
    return judging.run(
        CasesRequest(items=cases, compare="trim"),
        arena.job("x" if native else PRELUDE + code),
        LIMITS,
        within=within(replace(LIMITS, output_bytes=5 * LIMITS.output_bytes)),
        deliver=lambda job, limits: arena.execute(tree, job, limits),
    )


def two_faced(leave: str, look: str) -> str:
    return f"""
        if (process.argv[2].includes("leave")) {{ {leave} }}
        if (process.argv[2].includes("look")) {{ {look} }}
        process.exit(0);"""


def said(judged: Judged, number: int) -> str:
    outcome = judged.results[number].outcome
    assert outcome.state is State.SUCCEEDED, (outcome.message, outcome.stderr.data[-500:])
    return outcome.stdout.data.decode()


@pytest.mark.parametrize("trace", TRACES)
def test_a_case_sees_nothing_of_the_one_before(trace: str, arena: Arena) -> None:
    code = two_faced(*TRACES[trace])
    look, leave = Case(args=["look"]), Case(args=["leave"])
    found = judged(arena, code, look, leave, look, Case(args=["leave then look"]))
    assert found.results[1].outcome.state is State.SUCCEEDED
    assert said(found, 2) == said(found, 0)
    assert said(found, 3) != said(found, 0)  # else this test could not see a trace


@pytest.mark.parametrize(("put", "get"), SHARED)
def test_a_case_shares_no_ipc_with_the_one_before(put: str, get: str, arena: Arena) -> None:
    found = judged(arena, "", Case(args=[put]), Case(args=[get]), native=True)
    assert int(said(found, 1)) > 0  # an error number


@pytest.mark.parametrize("mischief", MISCHIEF)
def test_a_case_decides_about_itself_alone(mischief: str, arena: Arena) -> None:
    code = f"if (process.argv[2] === 'bad') {{ {MISCHIEF[mischief]} }} else console.log('honest');"
    honest = Case(args=["good"], stdin="theirs", expected_stdout="honest")
    bad = Case(args=["bad"], stdin="mine", expected_stdout="honest", limits={"wall_ms": 3000})
    found = judged(arena, code, honest, bad, honest)
    accepted = [result.verdict is Verdict.ACCEPTED for result in found.results]
    assert accepted == [True, False, True]
    assert [result.passed for result in found.results] == [True, False, True]
    assert found.outcome.state is State.FAILED
    assert b"late" not in found.outcome.stdout.data


def test_a_case_finds_neither_its_expected_output_nor_the_input_of_another(arena: Arena) -> None:
    other = Case(stdin="INPUT-fedcba9876543210", expected_stdout=EXPECTED)
    found = judged(arena, SEARCH, other, Case(stdin="", expected_stdout=EXPECTED), other)
    assert said(found, 1) == "[0,true]\n"


def test_the_search_finds_what_is_there(arena: Arena) -> None:
    found = judged(arena, "const kept = fs.readFileSync(0, 'latin1');" + SEARCH,
                   Case(stdin="INPUT-fedcba9876543210"))  # fmt: skip
    assert said(found, 0) not in ("[0,true]\n", "[0,false]\n")
