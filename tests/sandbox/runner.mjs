// A runner for tests: speaks the protocol, runs the entry (run), or every *.test.mjs (test), where a
// test file calls the global `test(name, body)`. `raw(line)` writes to descriptor 3 as an attacker would.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const CHANNEL = Number(process.env.STENCIL_CHANNEL ?? 3);
const send = (message) => fs.writeSync(CHANNEL, JSON.stringify(message) + "\n");
const readJob = () => {
  const parts = [];
  const chunk = Buffer.alloc(65536);
  for (;;) {
    let read;
    try {
      read = fs.readSync(CHANNEL, chunk);
    } catch (error) {
      if (error.code === "EAGAIN") continue;
      throw error;
    }
    if (read === 0) process.exit(70);
    parts.push(Buffer.from(chunk.subarray(0, read)));
    if (chunk[read - 1] === 10) return JSON.parse(Buffer.concat(parts).toString());
  }
};

if (fs.existsSync("/template/startup.mjs")) await import("/template/startup.mjs");
send({ type: "ready" });
const job = readJob();
for (const file of job.files) {
  const target = path.join("/workspace/src", file.path);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.writeFileSync(target, Buffer.from(file.content, file.encoding));
}
Object.assign(process.env, job.env);

globalThis.raw = (line) => fs.writeSync(CHANNEL, line);
globalThis.leave = (code) => send({ type: "exit", code, key: job.key });
if (job.mode === "run") {
  if (!job.args.includes("keep-channel")) fs.closeSync(CHANNEL);
  process.argv = [process.argv[0], `/workspace/src/${job.entry}`, ...job.args];
  await import(pathToFileURL(`/workspace/src/${job.entry}`));
} else {
  let bad = 0;
  const errors = [];
  for (const file of job.files.map((each) => each.path).filter((name) => name.endsWith(".test.mjs"))) {
    const tests = [];
    globalThis.test = (name, body) => tests.push([name, body]);
    try {
      await import(pathToFileURL(`/workspace/src/${file}`));
    } catch (error) {
      errors.push({ file, message: String(error) });
    }
    for (const [name, body] of tests) {
      const found = { type: "case", name, file, state: "passed", duration_ms: 1.5, message: null, line: null, column: null };
      try {
        await body();
      } catch (error) {
        bad += 1;
        Object.assign(found, { state: "failed", message: String(error), line: 1, column: 2 });
      }
      send(found);
    }
  }
  const exit_code = bad || errors.length || !job.files.length ? 1 : 0;
  send({ type: "result", errors, exit_code });
  process.exit(exit_code);
}
