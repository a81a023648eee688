// The child process that runs one test file. See pool.mjs.
import { init, runBaseTests, setupEnvironment } from "vitest/worker";
import { flushEach } from "./flush.mjs";
import { watchConsole } from "./output.mjs";

// The runner sets this variable and Node has read it. Hide it from the submission.
delete process.env.NODE_COMPILE_CACHE;

flushEach();
watchConsole();

const send = process.send.bind(process);
const on = process.on.bind(process);
const off = process.off.bind(process);
const exit = process.exit.bind(process);

on("disconnect", () => exit(1));

init({
  post: (message) => send(message),
  on: (listener) => on("message", listener),
  off: (listener) => off("message", listener),
  runTests: (state, traces) => runBaseTests("run", state, traces),
  collectTests: (state, traces) => runBaseTests("collect", state, traces),
  setup: setupEnvironment,
});
