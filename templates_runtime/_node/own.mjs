// A submission with a vitest.config or vite.config of its own: what bare `vitest run` does in the folder of that file,
// with our reporter beside those that the configuration names. Pool, isolation, environment, projects, coverage and
// outputs are the configuration's.
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
// Each worker is a process of about ten threads, all of which count as processes of the sandbox.
const MOST_WORKERS = 4;

export async function test(source) {
  const reporter = new CaseReporter(source);
  reporter.listen(send);
  process.chdir(source);
  // vite writes a configuration that is a module into the nearest folder of this name before it loads it, and the
  // template's is sealed.
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

/** As vitest's command shows it. */
function showStartupError(error) {
  console.error("\n⎯⎯⎯⎯⎯⎯⎯ Startup Error ⎯⎯⎯⎯⎯⎯⎯⎯");
  console.error(error);
  console.error("\n\n");
}

function finish(reporter) {
  const code = Number(process.exitCode ?? (reporter.failed ? 1 : 0));
  if (!reporter.told && reporter.errors.length === 0 && code !== 0) reporter.error("", "No test files found");
  if (code !== 0 && !reporter.failed && reporter.errors.length === 0) {
    reporter.error("", `vitest ended with status ${code}, and no test has failed. See its output.`);
  }
  send({ type: "result", errors: reporter.errors, exit_code: code });
  exit(code);
}

/** A plugin that adds our reporter, and what bare vitest decides by the size of the machine. */
function ours(reporter) {
  return {
    name: "stencil",
    config(config) {
      const test = config.test ?? {};
      const others = [test.reporters ?? []].flat().length > 0;
      const maxWorkers = test.maxWorkers ?? Math.min(MOST_WORKERS, Math.max(availableParallelism() - 1, 1));
      // Without a reporter of the submission's own its output goes out as it is.
      reporter.passOutputOn(!others);
      const { fsModuleCache = false, disableConsoleIntercept = !others } = test;
      // It has vitest tell of each test at once, once more: another reporter would show it twice.
      const setupFiles = others ? [] : [WORKER];
      return { test: { reporters: [reporter], setupFiles, maxWorkers, fsModuleCache, disableConsoleIntercept } };
    },
  };
}
