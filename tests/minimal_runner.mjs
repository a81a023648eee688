// A runner as small as the protocol allows: runs a module, or calls the functions that test
// modules export. `node runner.mjs run|test`.
import { closeSync, mkdirSync, readSync, writeFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";

const mode = process.argv[2];
const send = (message) => writeSync(3, JSON.stringify(message) + "\n");

function receive() {
  const chunks = [];
  const buffer = Buffer.alloc(65536);
  for (;;) {
    let count = 0;
    try {
      count = readSync(3, buffer);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      continue;
    }
    if (count === 0) process.exit(0);
    chunks.push(Buffer.from(buffer.subarray(0, count)));
    if (buffer[count - 1] === 10) return JSON.parse(Buffer.concat(chunks).toString());
  }
}

send({ type: "ready" });
const job = receive();
for (const file of job.files) {
  const path = `/workspace/src/${file.path}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(file.content, file.encoding === "base64" ? "base64" : "utf8"));
}
Object.assign(process.env, job.env);
if (mode === "run") {
  closeSync(3);
  process.argv = [process.argv[0], `/workspace/src/${job.entry}`, ...job.args];
  await import(process.argv[1]);
} else {
  let failed = 0;
  const errors = [];
  for (const { path } of job.files.filter((file) => file.path.endsWith(".test.mjs"))) {
    try {
      const { default: tests } = await import(`/workspace/src/${path}`);
      for (const [name, test] of Object.entries(tests)) {
        const case_ = { type: "case", name, file: path, duration_ms: 0.5, line: 1, column: 2 };
        try {
          await test((text) => (case_.stdout = text));
          send({ ...case_, state: "passed", message: null });
        } catch (error) {
          failed += 1;
          send({ ...case_, state: "failed", message: String(error.message) });
        }
      }
    } catch (error) {
      errors.push({ file: path, message: String(error.message) });
    }
  }
  const exit_code = failed || errors.length ? 1 : 0;
  send({ type: "result", errors, exit_code });
  process.exit(exit_code);
}
