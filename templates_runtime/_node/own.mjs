// Run a submission that has its own vitest.config or vite.config, as `vitest run` does in the folder of that file. The
// reporter of the runner is added to the reporters of the configuration. The configuration decides the pool, isolation,
// environment, projects, coverage and outputs.
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { startVitest } from "vitest/node";
import protocol from "./protocol.cjs";
import { CaseReporter } from "./reporter.mjs";
import { noInput } from "./stdin.mjs";

const { send } = protocol;
const WORKER = fileURLToPath(new URL("./worker.mjs", import.meta.url));
const exit = process.reallyExit.bind(process);
// Each worker is a process with about ten threads. The sandbox counts each thread as a process.
const MOST_WORKERS = 4;

export async function test(source) {
  const reporter = new CaseReporter(source);
  reporter.listen(send);
  process.chdir(source);
  // vite bundles the configuration into the nearest node_modules folder before it loads the bundle. The node_modules
  // folder of the template is read-only.
  mkdirSync(`${source}/node_modules`, { recursive: true });
  const options = { root: source, run: true, watch: false, cache: false };
  try {
    const vitest = await startVitest("test", [], options, { plugins: [ours(reporter)] }, { stdin: noInput });
    await vitest.close();
  } catch (error) {
    showStartupError(error);
    reporter.failure(error);
    process.exitCode ??= 1;
  }
  finish(reporter);
}

/** Print the error in the format of the vitest command. */
function showStartupError(error) {
  console.error("\n⎯⎯⎯⎯⎯⎯⎯ Startup Error ⎯⎯⎯⎯⎯⎯⎯⎯");
  console.error(error);
  console.error("\n\n");
}

function finish(reporter) {
  const code = Number(process.exitCode ?? (reporter.failed ? 1 : 0));
  if (!reporter.reported && reporter.errors.length === 0 && code !== 0) reporter.error("", "No test files found");
  if (code !== 0 && !reporter.failed && reporter.errors.length === 0) {
    reporter.error("", `vitest ended with status ${code}, and no test has failed. See its output.`);
  }
  send({ type: "result", errors: reporter.errors, exit_code: code });
  exit(code);
}

/** Return a plugin that adds `reporter` and limits the number of workers, which vitest derives from the CPUs. */
function ours(reporter) {
  return {
    name: "stencil",
    config(config) {
      const test = config.test ?? {};
      const others = [test.reporters ?? []].flat().length > 0;
      const maxWorkers = test.maxWorkers ?? Math.min(MOST_WORKERS, Math.max(availableParallelism() - 1, 1));
      // If the configuration names no reporter, pass the output through unchanged.
      reporter.passOutputOn(!others);
      const { fsModuleCache = false, disableConsoleIntercept = !others } = test;
      // worker.mjs makes vitest report each result early and then again; another reporter would show it twice.
      const setupFiles = others ? [] : [WORKER];
      return { test: { reporters: [reporter], setupFiles, maxWorkers, fsModuleCache, disableConsoleIntercept } };
    },
  };
}
