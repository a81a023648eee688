// A setup file of ours in vitest's own workers, where a submission's configuration has chosen the pool: what it changes
// there is the same as in our pool. A worker that is not isolated runs it for every file.
import { flushBeforeNext } from "./flush.mjs";
import { watchConsole } from "./output.mjs";

flushBeforeNext();
watchConsole();
