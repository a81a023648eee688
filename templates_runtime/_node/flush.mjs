// vitest tells of finished tests in batches, ten times a second. A test that never ends would keep a batch back for
// ever, so each result is sent on its own as well, and waited for, before the next test starts; what the test wrote
// goes before it.
import { TestRunner } from "vitest";
import { taken } from "./output.mjs";

const { onAfterRunTask } = TestRunner.prototype;

TestRunner.prototype.onAfterRunTask = async function (task) {
  await onAfterRunTask.call(this, task);
  const { rpc } = globalThis.__vitest_worker__;
  for (const log of taken(task.id)) await rpc.onUserConsoleLog(log);
  await this.onTaskUpdate([[task.id, task.result, task.meta]], [[task.id, "test-finished", undefined]]);
};
