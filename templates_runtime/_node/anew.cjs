"use strict";
// Does a job in a process of its own, inside the same sandbox, when one that waited for it cannot: a variable that is
// read at the start, a configuration of the submission's own. This process waits, and ends as the other one does.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const { CHANNEL, cold, environment, send } = require("./protocol.cjs");

/** Node with these arguments and variables. `job`: handed over with the channel, to another process of the runner. */
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

/** A descriptor to read the text from, of a file that has no name any more. */
function keep(text) {
  const path = "/tmp/.stencil-job";
  fs.writeFileSync(path, text);
  const descriptor = fs.openSync(path, "r");
  fs.unlinkSync(path);
  return descriptor;
}

module.exports = { startAnew };
