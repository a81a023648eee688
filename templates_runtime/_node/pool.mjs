// vitest's pool, in two kinds. One test file runs in this very process, whose runtime is warm. Several files are
// isolated from each other as bare vitest isolates them: a child process each.
import { fork } from "node:child_process";
import { closeSync, openSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { EventEmitter } from "node:events";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { init, runBaseTests, setupEnvironment } from "vitest/worker";
import { flushEach } from "./flush.mjs";

const FORK = fileURLToPath(new URL("./fork.mjs", import.meta.url));
// Node keeps a folder for each of its versions inside the one it was given.
const COMPILE_CACHE = getCompileCacheDir() && dirname(getCompileCacheDir());

const clone = structuredClone;
const later = setImmediate;

flushEach();

let inProcess = true;

export function runInOneProcess(yes) {
  inProcess = yes;
}

export function createPoolWorker(options) {
  return inProcess ? new LocalWorker() : new ForkWorker(options);
}

/** Messages are cloned as a child process's would be: neither side can see the other's changes. */
class LocalWorker {
  name = "stencil";
  #toPool = new EventEmitter();
  #toWorker = new EventEmitter();

  on(event, listener) {
    this.#toPool.on(event, listener);
  }
  off(event, listener) {
    this.#toPool.off(event, listener);
  }
  send(message) {
    // Stopping would tear down what the next run needs; the process ends soon anyway.
    if (message.type === "stop") this.#toPool.emit("message", { type: "stopped", __vitest_worker_response__: true });
    else this.#toWorker.emit("message", clone(message));
  }
  deserialize(message) {
    return message;
  }
  async start() {
    init({
      post: (message) => this.#post(clone(message)),
      on: (listener) => this.#toWorker.on("message", listener),
      off: (listener) => this.#toWorker.off("message", listener),
      runTests: (state, traces) => runBaseTests("run", state, traces),
      collectTests: (state, traces) => runBaseTests("collect", state, traces),
      setup: setupEnvironment,
    });
  }
  async stop() {}

  /** The end waits for a turn of the event loop, which is when Node tells of rejections that nobody handled. */
  #post(message) {
    const emit = () => this.#toPool.emit("message", message);
    if (message.type === "testfileFinished") later(() => later(emit));
    else emit();
  }
}

let input = null;

/**
 * A descriptor with the submission's standard input. Each file reads all of it, as if it were the only one; vitest's
 * own workers have a pipe there that nobody ends, at which a test that reads waits for ever.
 */
function openInput() {
  if (input === null) {
    const path = "/tmp/.stencil-input";
    writeFileSync(path, readFileSync(0));
    input = openSync(path, "r");
    unlinkSync(path);
  }
  return openSync(`/proc/self/fd/${input}`, "r");
}

/** vitest's own forks, less its watchdog process and its copying of output: both streams are the user's already. */
class ForkWorker {
  name = "stencil";
  #options;
  #child;

  constructor(options) {
    this.#options = options;
  }
  on(event, listener) {
    this.#child.on(event, listener);
  }
  off(event, listener) {
    this.#child.off(event, listener);
  }
  send(message) {
    if (this.#child.connected) this.#child.send(message);
  }
  deserialize(message) {
    return message;
  }
  async start() {
    const { env, execArgv } = this.#options;
    if (this.#child) return;
    const stdin = openInput();
    this.#child = fork(FORK, [], {
      env: COMPILE_CACHE ? { ...env, NODE_COMPILE_CACHE: COMPILE_CACHE } : env,
      execArgv,
      stdio: [stdin, "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    closeSync(stdin);
  }
  async stop() {
    this.#child.kill("SIGKILL");
  }
}
