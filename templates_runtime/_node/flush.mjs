// vitest reports finished tests in batches, ten times a second. A test that never ends would hold a batch back for
// ever. The runner therefore also sends each result separately and awaits it before the next test starts. The output
// of the test is sent before its result.
import { TestRunner } from "vitest";
import { taken } from "./output.mjs";

const { onAfterRetryTask, onAfterRunTask, onBeforeRunTask } = TestRunner.prototype;
const DONE = Symbol.for("stencil.flushes");

/** Send each result when its test ends. Call this before vitest creates a test runner. */
export function flushEach() {
  TestRunner.prototype.onAfterRunTask = async function (task) {
    await onAfterRunTask.call(this, task);
    await sendOutput(task);
    await sendResult(this, task);
  };
}

/** Send each result before the next test starts. For a runner that already exists and has bound some methods. */
export function flushBeforeNext() {
  if (TestRunner.prototype[DONE]) return;
  Object.defineProperty(TestRunner.prototype, DONE, { value: true });
  const begun = new Set();
  TestRunner.prototype.onBeforeRunTask = async function (task) {
    for (const other of begun) {
      if (other.result?.state === "run") continue;
      begun.delete(other);
      await sendResult(this, other);
    }
    begun.add(task);
    await onBeforeRunTask.call(this, task);
  };
  TestRunner.prototype.onAfterRetryTask = async function (task, options) {
    await onAfterRetryTask.call(this, task, options);
    await sendOutput(task);
  };
}

async function sendOutput(task) {
  const { rpc } = globalThis.__vitest_worker__;
  for (const log of taken(task.id)) await rpc.onUserConsoleLog(log);
}

async function sendResult(runner, task) {
  await runner.onTaskUpdate([[task.id, task.result, task.meta]], [[task.id, "test-finished", undefined]]);
}
