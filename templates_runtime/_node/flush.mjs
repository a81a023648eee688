// vitest tells of finished tests in batches, ten times a second. A test that never ends would keep a batch back for
// ever, so each result is sent on its own as well, and waited for, before the next test starts.
import { TestRunner } from "vitest";

const { onAfterRunTask } = TestRunner.prototype;

TestRunner.prototype.onAfterRunTask = async function (task) {
  await onAfterRunTask.call(this, task);
  await this.onTaskUpdate([[task.id, task.result, task.meta]], [[task.id, "test-finished", undefined]]);
};
