// The pool of vitest, with two kinds of worker. A single test file runs in this process, whose runtime is warm. Several
// files run in one child process each, isolated from each other as in vitest.
import { fork } from "node:child_process";
import { closeSync, openSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { EventEmitter } from "node:events";
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { init, runBaseTests, setupEnvironment } from "vitest/worker";
import { flushEach } from "./flush.mjs";

const FORK = fileURLToPath(new URL("./fork.mjs", import.meta.url));
// Node creates a folder per Node version inside the configured folder.
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

/** Run tests in this process. Messages are cloned, as between processes: neither side sees changes by the other. */
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
    // Do not stop the worker: the next run needs its state, and the process ends soon.
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

  /** Post a message. Delay the end of a file by a turn of the event loop: Node then reports unhandled rejections. */
  #post(message) {
    const emit = () => this.#toPool.emit("message", message);
    if (message.type === "testfileFinished") later(() => later(emit));
    else emit();
  }
}

let input = null;

/**
 * Return a descriptor of the submission's standard input. Each test file reads the whole input. The workers of vitest
 * have a pipe that is never closed instead: a test that reads it waits for ever.
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

/** Run tests in a child process, as vitest's forks do, without a watchdog; both output streams are inherited. */
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
