"use strict";
// The channel: a stream socket that carries JSON, one object per line. All functions are synchronous: a message
// reaches the host before the code after it can loop for ever. The functions use only primitives that are
// captured before submitted code loads.
const fs = require("node:fs");

// The number lies in the range of Node's internal descriptors, so a program never receives it for a file. It is also
// the highest number that Node closes at startup for child processes.
const CHANNEL = Number(process.env.STENCIL_CHANNEL ?? 3);
const CHUNK_BYTES = 65_536;
const RETRY_MS = 1;

// Variables of the runner, hidden from the submission. Node has already applied NODE_COMPILE_CACHE.
const OURS = ["STENCIL_CHANNEL", "STENCIL_COLD", "STENCIL_FORK", "STENCIL_JOB", "STENCIL_MODE", "STENCIL_PRELOAD", "NODE_COMPILE_CACHE"];
const environment = Object.fromEntries(OURS.filter((name) => name in process.env).map((name) => [name, process.env[name]]));
const cold = environment.STENCIL_COLD !== undefined;
const forks = environment.STENCIL_FORK !== undefined;
// A process that this one starts for its job is no server.
delete environment.STENCIL_FORK;
for (const name of OURS) delete process.env[name];

const { closeSync, fstatSync, mkdirSync, readFileSync, readSync, writeFileSync, writeSync } = fs;
const { stringify, parse } = JSON;
const { alloc, concat, from } = Buffer;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const { wait } = Atomics;

/** Repeat `operation` until it no longer fails with EAGAIN or EINTR, and return its result. */
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

/** Wait for the job and return it, or null if the host closes the channel without sending a job. */
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

/** Return the job that another runner process handed over to this process, or null if there is none. */
function handedOver() {
  if (environment.STENCIL_JOB === undefined) return null;
  const number = Number(environment.STENCIL_JOB);
  const job = parse(readFileSync(number, "utf8"));
  closeSync(number);
  return job;
}

/** Return a function that reports exit status 0 and exits. The host then need not wait until the memory is freed. */
function tellExit(exit, key) {
  const { ino } = fstatSync(CHANNEL);
  return () => {
    try {
      // The program may have closed the channel and opened another file with the same descriptor number.
      if (fstatSync(CHANNEL).ino !== ino) return;
      send({ type: "exit", code: 0, key });
    } catch {
      return;
    }
    exit(0);
  };
}

/** Write the submitted files into `folder`. The host has checked the paths. */
function writeFiles(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const { path, content, encoding } of files) {
    const target = `${folder}/${path}`;
    if (path.includes("/")) mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    writeFileSync(target, content, encoding);
  }
}

module.exports = { CHANNEL, cold, environment, forks, handedOver, receive, send, tellExit, writeFiles };
