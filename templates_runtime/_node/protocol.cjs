"use strict";
// The channel: a stream socket that carries JSON, one object a line. Everything here is synchronous, so that
// a message is with the host before the code that follows it can loop for ever, and uses only primitives
// captured before foreign code loads.
const fs = require("node:fs");

// Among the numbers that Node opens for itself, where no program is ever given one, and the last that Node closes to
// the children of a process when it starts.
const CHANNEL = Number(process.env.STENCIL_CHANNEL ?? 3);
const CHUNK_BYTES = 65_536;
const RETRY_MS = 1;

// Ours, not the user's, and read already. NODE_COMPILE_CACHE is Node's, and in force.
const OURS = ["STENCIL_CHANNEL", "STENCIL_COLD", "STENCIL_JOB", "STENCIL_MODE", "NODE_COMPILE_CACHE"];
const environment = Object.fromEntries(OURS.filter((name) => name in process.env).map((name) => [name, process.env[name]]));
const cold = environment.STENCIL_COLD !== undefined;
for (const name of OURS) delete process.env[name];

const { closeSync, fstatSync, mkdirSync, readFileSync, readSync, writeFileSync, writeSync } = fs;
const { stringify, parse } = JSON;
const { alloc, concat, from } = Buffer;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const { wait } = Atomics;

/** Calls a blocking operation again for as long as the descriptor says "not now". */
function persistently(operation) {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if (error.code !== "EAGAIN" && error.code !== "EINTR") throw error;
      wait(sleeper, 0, 0, RETRY_MS);
    }
  }
}

function send(message) {
  const line = from(`${stringify(message)}\n`);
  for (let sent = 0; sent < line.length; ) {
    const offset = sent;
    sent += persistently(() => writeSync(CHANNEL, line, offset));
  }
}

/** The one job, or null when the host closed the channel without giving any. */
function receive() {
  const chunks = [];
  for (;;) {
    const chunk = alloc(CHUNK_BYTES);
    const count = persistently(() => readSync(CHANNEL, chunk));
    if (count === 0) return null;
    chunks.push(chunk.subarray(0, count));
    if (chunk[count - 1] === 0x0a) return parse(concat(chunks).toString("utf8"));
  }
}

/** The job that another process of the runner was given and handed over to this one; null if none did. */
function handedOver() {
  if (environment.STENCIL_JOB === undefined) return null;
  const number = Number(environment.STENCIL_JOB);
  const job = parse(readFileSync(number, "utf8"));
  closeSync(number);
  return job;
}

/** Has `exit(0)` end the process when the host was told so: it need not wait for the memory to be freed. */
function tellExit(exit, key) {
  const { ino } = fstatSync(CHANNEL);
  return () => {
    try {
      // The program may have closed the descriptor, and opened a file of its own that has the number now.
      if (fstatSync(CHANNEL).ino !== ino) return;
      send({ type: "exit", code: 0, key });
    } catch {
      return;
    }
    exit(0);
  };
}

/** Writes the submitted files under `folder`. The host has checked the paths. */
function writeFiles(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const { path, content, encoding } of files) {
    const target = `${folder}/${path}`;
    if (path.includes("/")) mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    writeFileSync(target, content, encoding);
  }
}

module.exports = { CHANNEL, cold, environment, handedOver, receive, send, tellExit, writeFiles };
