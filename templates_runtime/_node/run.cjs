"use strict";
// Mode `run`: `node [--require module…] --require _node/run.cjs run`. Node loads this file before its main module, which
// it then starts by itself, as it starts any program: nothing of ours is on the stack, and nothing waits in the loop. It
// says `ready`, waits for one job, and makes the job's entry the main module.
const fs = require("node:fs");
const Module = require("node:module");
const { isMainThread } = require("node:worker_threads");
const { hide } = require("./hide.cjs");

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
// What Node loads when a program prints or reads for the first time.
const USUAL = ["node:net", "node:tty", "node:util"];

// A thread of the program loads what its process has loaded, and is no runner.
if (isMainThread) runOne(require("./protocol.cjs"));
else hide();

function runOne({ cold, receive, send, tellExit, writeFiles }) {
  const exit = process.reallyExit.bind(process);
  process.chdir(WORKSPACE);
  if (!cold) rehearse();
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
  // Given its own value it takes the place of the whole command line, in which we stand.
  process.title = process.title;
  startWith(main);
  watchExit(tellExit(exit, job.key));
  hide();
}

/** A variable that Node reads when it starts came after that. */
function startAgain(job, main) {
  const { startAnew } = require("./anew.cjs");
  const reason = `${job.late[0]} is read when Node starts`;
  const others = process.execArgv.filter((item, index, all) => item !== __filename && all[index + 1] !== __filename);
  startAnew({ reason, argv: [...others, main, ...job.args], env: { ...process.env, ...job.env } });
}

/** Loaded and done once before the job, it is not waited for. */
function rehearse() {
  for (const name of USUAL) require(name);
  const { Console } = require("node:console");
  // No stream of Node's, and no look for colours: both would leave what the program's stacks and handles show.
  const nothing = () => 0;
  const nowhere = { write: nothing, once: nothing, removeListener: nothing, listenerCount: nothing };
  new Console({ stdout: nowhere, colorMode: false }).log("warm", { a: [1] });
}

/**
 * Has Node start `main` where it would have started `run`. Node gets its function with another argument, bound, which
 * no stack shows, and finds the original in its place from then on.
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
 * Calls `leave` when the program has ended with status 0 and no listener of its own has anything to say about it. A
 * listener of ours could be seen. Node asks for `process.emit` at the end; everybody is given the real one until then.
 */
function watchExit(leave) {
  const { emit, listenerCount } = process;
  const { apply, defineProperty } = Reflect;
  defineProperty(Object.getPrototypeOf(process), "emit", {
    configurable: true,
    get() {
      return process._exiting && apply(listenerCount, process, ["exit"]) === 0 ? last : emit;
    },
    set(value) {
      defineProperty(this, "emit", { value, configurable: true, enumerable: true, writable: true });
    },
  });

  function last(event, code) {
    // What is not a plain success is left to Node, which may have something to say after this event.
    if (event === "exit" && code === 0) leave();
    return apply(emit, this, arguments);
  }
}
