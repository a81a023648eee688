"use strict";
// Mode `run`: `node [--require module…] --require _node/run.cjs run`. Node loads this file before the main module. The
// file sends `ready`, waits for one job and makes the entry of the job the main module. Node then starts that module as
// usual: the stack has no frame of the runner, and the event loop has no pending work of the runner.
const fs = require("node:fs");
const Module = require("node:module");
const { isMainThread } = require("node:worker_threads");
const { hide } = require("./hide.cjs");
const { serve } = require("./server.cjs");

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
// The modules that Node loads at the first output or input of a program.
const USUAL = ["node:net", "node:tty", "node:util"];

// A worker thread of the program also loads this file, but it must not act as a runner.
if (isMainThread) runOne(require("./protocol.cjs"));
else hide();

function runOne({ cold, receive, send, tellExit, writeFiles }) {
  const exit = process.reallyExit.bind(process);
  process.chdir(WORKSPACE);
  if (!cold) rehearse();
  serve();
  send({ type: "ready" });
  const job = receive();
  if (job === null) exit(0);
  const main = `${SOURCE}/${job.entry}`;
  writeFiles(SOURCE, job.files);
  Object.assign(process.env, job.env);
  if (job.late?.length > 0) startAgain(job, main);
  if (!fs.existsSync(main)) {
    process.stderr.write(`Entry file not found: ${job.entry}\n`);
    exit(1);
  }
  process.argv = [process.argv[0], main, ...job.args];
  // Assigning the title replaces the whole command line of the process, which names the runner.
  process.title = process.title;
  startWith(main);
  watchExit(tellExit(exit, job.key));
  hide();
}

/** Run the job in a new Node process: the job sets a variable that Node reads only at startup. */
function startAgain(job, main) {
  const { startAnew } = require("./anew.cjs");
  const reason = `${job.late[0]} is read when Node starts`;
  const others = process.execArgv.filter((item, index, all) => item !== __filename && all[index + 1] !== __filename);
  startAnew({ reason, argv: [...others, main, ...job.args], env: { ...process.env, ...job.env } });
}

/** Load and use common modules before the job arrives, so that the job does not wait for them. */
function rehearse() {
  for (const name of USUAL) require(name);
  const { Console } = require("node:console");
  // Use no real stream and no colour detection: both leave traces in the stacks and handles of the program.
  const nothing = () => 0;
  const nowhere = { write: nothing, once: nothing, removeListener: nothing, listenerCount: nothing };
  new Console({ stdout: nowhere, colorMode: false }).log("warm", { a: [1] });
}

/**
 * Make Node start `main` instead of `run`. Node receives its own `runMain`, bound to `main`; no stack shows a bound
 * function. The first read of the property restores the original.
 */
function startWith(main) {
  const original = Object.getOwnPropertyDescriptor(Module, "runMain");
  Object.defineProperty(Module, "runMain", {
    ...{ configurable: true, enumerable: true },
    get() {
      Object.defineProperty(Module, "runMain", original);
      return original.value.bind(Module, main);
    },
  });
}

/**
 * Call `leave` when the program ends with status 0 and Node would do nothing more. The program could see an added
 * listener for `exit`. Instead, define a getter of `process.emit`, which Node reads at exit; before that, each read
 * returns the inherited function.
 */
function watchExit(leave) {
  const { emit, listenerCount, reallyExit, _getActiveRequests: requests } = process;
  const { apply, defineProperty, get, getPrototypeOf } = Reflect;
  const owner = getPrototypeOf(process);
  defineProperty(owner, "emit", {
    configurable: true,
    get() {
      const inherited = get(getPrototypeOf(owner), "emit", this);
      return process._exiting && inherited === emit && nothingFollows() ? last : inherited;
    },
    set(value) {
      defineProperty(this, "emit", { value, configurable: true, enumerable: true, writable: true });
    },
  });

  /** Return whether the program has no listener, no own `reallyExit` and no request, such as `fs.write`, under way. */
  function nothingFollows() {
    return apply(listenerCount, process, ["exit"]) === 0 && process.reallyExit === reallyExit && requests().length === 0;
  }

  function last(event, code) {
    // Leave any status other than 0 to Node, which may print a message after this event.
    if (event === "exit" && code === 0) leave();
    return apply(emit, this, arguments);
  }
}
