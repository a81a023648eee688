"use strict";
// Run a job in a new Node process inside the same sandbox if the warm process cannot run it: Node reads a variable only
// at startup, or the submission has its own configuration. The warm process waits and ends with the same status.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const { CHANNEL, cold, environment, send } = require("./protocol.cjs");

/** Run Node with `argv` and `env` and end as it ends. A `job` goes to a new runner process, together with the channel. */
function startAnew({ reason, argv, env, job = null }) {
  if (!cold) send({ type: "cold", reason });
  const stdio = ["inherit", "inherit", "inherit"];
  if (job !== null) {
    const number = CHANNEL - 1;
    Object.assign(env, environment, { STENCIL_COLD: "1", STENCIL_JOB: String(number) });
    while (stdio.length < number) stdio.push("ignore");
    stdio.push(keep(JSON.stringify(job)), CHANNEL);
  }
  const { status, signal, error } = spawnSync(process.execPath, argv, { argv0: process.argv0, env, stdio });
  if (error) throw error;
  if (signal) process.kill(process.pid, signal);
  process.reallyExit(status);
}

/** Return a readable descriptor of an unlinked file that holds `text`. */
function keep(text) {
  const path = "/tmp/.stencil-job";
  fs.writeFileSync(path, text);
  const descriptor = fs.openSync(path, "r");
  fs.unlinkSync(path);
  return descriptor;
}

module.exports = { startAnew };
