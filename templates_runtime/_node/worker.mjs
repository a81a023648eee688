// The setup file for the workers of vitest, used if a submission has its own configuration. It makes the same changes
// as pool.mjs and fork.mjs make in the pool of the runner. A worker without isolation runs it for each test file.
import { flushBeforeNext } from "./flush.mjs";
import { watchConsole } from "./output.mjs";

flushBeforeNext();
watchConsole();
