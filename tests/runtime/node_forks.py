"""Programs for copies of a loaded Node process: random numbers, threads, children, memory."""

# Prints an object of lists of random values, each value from another source.
RANDOM = """
const crypto = require("node:crypto"), vm = require("node:vm"), fs = require("node:fs");
const { Worker } = require("node:worker_threads");
const many = (make) => Array.from({ length: 200 }, make);
const found = {
  math: many(() => Math.random()),
  contexts: [1, 2, 3].map(() => vm.runInNewContext("Math.random()")),
  uuid: many(() => crypto.randomUUID()),
  global: [globalThis.crypto.randomUUID(), String(globalThis.crypto.getRandomValues(new Uint32Array(4)))],
  integer: many(() => crypto.randomInt(2 ** 40)),
  bytes: many(() => crypto.randomBytes(8).toString("hex")),
  key: [crypto.generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x],
  prime: [String(crypto.generatePrimeSync(64, { bigint: true }))],
  folder: [fs.mkdtempSync("/tmp/")],
};
const code = `
  const { randomInt, randomUUID } = require("node:crypto");
  require("node:worker_threads").parentPort.postMessage([Math.random(), randomUUID(), randomInt(2 ** 40)]);
`;
const done = new Promise((resolve) => new Worker(code, { eval: true }).on("message", resolve)).then((thread) => {
  console.log(JSON.stringify({ ...found, thread }));
});
"""
SUITE = f"""
import {{ createRequire }} from "node:module";
import {{ test }} from "vitest";
test("random", async () => {{ const require = createRequire(import.meta.url); {RANDOM} await done; }});
"""
# What Node does with threads, signals, children and memory, with the same output each time.
PROGRAMS = {
    "a profile": """
        const { Session } = require("node:inspector");
        const session = new Session();
        session.connect();
        session.post("Profiler.enable", () => session.post("Profiler.start", () => {
          for (let end = Date.now() + 60, x = 0; Date.now() < end; ) x += Math.sqrt(x + 1);
          session.post("Profiler.stop", (error, { profile }) => console.log(error, profile.samples.length > 5));
        }));
    """,
    "the inspector by a signal": """
        process.kill(process.pid, "SIGUSR1");
        const look = () => (require("node:inspector").url() ? (console.log("open"), process.exit(3)) : setTimeout(look, 5));
        look();
    """,
    "threads that wait": """
        const { Worker } = require("node:worker_threads");
        const code = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);"
          + "require('node:worker_threads').parentPort.postMessage(1)";
        let sum = 0;
        for (let i = 0; i < 4; i++) new Worker(code, { eval: true }).on("message", (one) => (sum += one));
        process.on("exit", () => console.log(sum));
    """,
    "a thread without an end": """
        const { Worker } = require("node:worker_threads");
        const worker = new Worker("for (;;);", { eval: true });
        worker.on("online", () => worker.terminate().then((code) => console.log(code)));
    """,
    "a cluster": """
        const cluster = require("node:cluster"), http = require("node:http");
        if (cluster.isPrimary) {
          const worker = cluster.fork();
          cluster.on("listening", async () => {
            console.log(await (await fetch("http://127.0.0.1:8123")).text());
            worker.kill();
          });
          cluster.on("exit", (_, code, signal) => console.log(code, signal));
        } else http.createServer((_, response) => response.end("ok")).listen(8123);
    """,
    "many children": """
        const { execFile, execFileSync, spawnSync } = require("node:child_process");
        console.log(String(execFileSync("echo", ["a"])), spawnSync("sh", ["-c", "kill -9 $$"]).signal);
        let sum = 0;
        for (let i = 0; i < 10; i++) execFile("echo", [String(i)], (_, out) => (sum += Number(out)));
        process.on("exit", () => console.log(sum));
    """,
    "files, all at once": """
        const fs = require("node:fs");
        const names = Array.from({ length: 40 }, (_, i) => `/tmp/file${i}`);
        Promise.all(names.map((name, i) => fs.promises.writeFile(name, "x".repeat(i * 1000))))
          .then(() => Promise.all(names.map((name) => fs.promises.stat(name))))
          .then((all) => console.log(all.reduce((sum, { size }) => sum + size, 0)));
    """,
    "a watched folder": """
        const fs = require("node:fs");
        const folder = fs.mkdtempSync("/tmp/");
        const watcher = fs.watch(folder, (kind, name) => { console.log(kind, name); watcher.close(); });
        fs.writeFileSync(`${folder}/new`, "1");
    """,
    "work of the thread pool": """
        const { pbkdf2Sync, pbkdf2 } = require("node:crypto"), zlib = require("node:zlib");
        pbkdf2("a", "b", 1000, 8, "sha1", (_, key) => console.log(key.equals(pbkdf2Sync("a", "b", 1000, 8, "sha1"))));
        zlib.gzip(Buffer.alloc(1e6), (_, packed) => zlib.gunzip(packed, (_, all) => console.log(all.length)));
    """,
    "compiled in parallel": """
        let sum = 0;
        for (let i = 0; i < 2000; i++) sum += new Function("a", `let s = ${i}; for (let i = 0; i < 99; i++) s += a * i % 7; return s`)(i);
        console.log(sum);
    """,
    "a trap of WebAssembly": """
        const code = [0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,5,3,1,0,1,7,5,1,1,102,0,0,10,11,1,9,0,65,127,40,2,0,11];
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code)));
        try { exports.f(); } catch (error) { console.log(String(error)); }
    """,
    "collected objects": """
        require("node:v8").setFlagsFromString("--expose-gc");
        let count = 0;
        const registry = new FinalizationRegistry(() => count++);
        (() => { for (let i = 0; i < 1000; i++) registry.register({ i }, i); })();
        require("node:vm").runInNewContext("gc")();
        setTimeout(() => console.log(count > 900), 20);
    """,
    "no memory for objects": """
        const { Worker } = require("node:worker_threads");
        const code = "const all = []; for (;;) all.push(new Array(1000));";
        const worker = new Worker(code, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 } });
        worker.on("error", (error) => console.log(error.code));
    """,
    "an abort": "process.abort();",
    **{
        f"killed by {name}": f"process.kill(process.pid, '{name}'); setTimeout(() => {{}}, 10_000);"
        for name in ("SIGTERM", "SIGKILL", "SIGSEGV", "SIGINT", "SIGHUP", "SIGUSR2", "SIGABRT")
    },
}  # fmt: skip
# What a package of the template must not leave behind: a copy would share it.
LEFT = {
    "a server": "process.getBuiltinModule('net').createServer().listen(0)",
    "a watched folder": "process.getBuiltinModule('fs').watch('/tmp')",
    "an open file": "process.getBuiltinModule('fs').openSync('/tmp/shared','w')",
    "a child": "process.getBuiltinModule('child_process').spawn('sleep',['60'],{stdio:'ignore'})",
    "a child with a pipe": "process.getBuiltinModule('child_process').spawn('sleep',['60'])",
}
