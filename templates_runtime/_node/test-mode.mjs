// Mode `test`: one vitest instance, created and warmed before the job arrives.
import fs from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { createVitest, rootDir } from "vitest/node";
import protocol from "./protocol.cjs";
import { watchConsole } from "./output.mjs";
import { CaseReporter } from "./reporter.mjs";
import { createPoolWorker, runInOneProcess } from "./pool.mjs";

const WARMING = `
  import { expect, test } from "vitest";
  test("warm", () => {
    expect({ a: [1] as unknown }).toEqual({ a: [1] });
  });
`;

const { send } = protocol;

// Each worker is a process with about ten threads. The sandbox counts each thread as a process.
const MOST_WORKERS = 4;

// Submitted code runs in this process and may replace these functions.
const exit = process.reallyExit.bind(process);
const everySoOften = setInterval;
const LONGEST = 2 ** 31 - 1; // milliseconds; the maximum delay of a timer

export async function prepare({ workspace, source, cold }) {
  resembleWorker();
  watchConsole();
  const reporter = new CaseReporter(source);
  const vitest = await start(workspace, reporter);
  if (!cold) await warm(vitest, workspace);
  return async (job) => {
    reporter.listen(send);
    // A test may wait for ever. Keep the process alive, as a vitest worker does: the time limit then ends the test.
    everySoOften(() => {}, LONGEST);
    exit(await test(vitest, reporter, source, job));
  };
}

/** Make this process look like a vitest worker to a test. */
function resembleWorker() {
  process.env.NODE_ENV ??= "test";
  Object.assign(process.env, { TEST: "true", VITEST: "true", VITEST_MODE: "RUN", FORCE_TTY: "" });
  process.argv.length = 2;
  // vitest refuses to fake `nextTick` in a child process, which it detects by this function.
  process.send = () => true;
  createRequire(import.meta.url)(`${rootDir}/suppress-warnings.cjs`);
}

/** Start vitest with its defaults, given inline: vite would bundle a config file into the read-only tree. */
async function start(root, reporter) {
  const test = {
    root,
    watch: false,
    cache: false,
    fsModuleCache: false,
    reporters: [reporter],
    disableConsoleIntercept: true,
    disableColors: true,
    include: ["src/**/*.{test,spec}.?(c|m)[jt]s?(x)"],
    maxWorkers: Math.min(MOST_WORKERS, Math.max(availableParallelism() - 1, 1)),
    pool: { name: "stencil", createPoolWorker },
  };
  const vitest = await createVitest(
    { config: false, root, watch: false, run: true },
    { configFile: false, root, test, logLevel: "silent" },
  );
  // The vitest server prints unhandled rejections and exits. Here a test causes them, and its worker reports them.
  process.removeAllListeners("unhandledRejection");
  return vitest;
}

/** Run a small test file, which loads the whole runtime of vitest into this process. */
async function warm(vitest, workspace) {
  const folder = `${workspace}/.warm`;
  const file = `${folder}/warm.test.ts`;
  fs.mkdirSync(folder);
  fs.writeFileSync(file, WARMING);
  runInOneProcess(true);
  await vitest.runTestSpecifications([vitest.projects[0].createSpecification(file)]);
  fs.rmSync(folder, { recursive: true });
  vitest.state.clearFiles(vitest.projects[0], [file]);
  vitest.state.clearErrors();
  process.exitCode = undefined;
}

async function test(vitest, reporter, source, job) {
  const [project] = vitest.projects;
  if (job.pattern) project.config.include = [`src/${job.pattern}`];
  const files = job.files.map(({ path }) => `${source}/${path}`).filter((path) => project.matchesTestGlob(path));
  runInOneProcess(files.length === 1);
  let failed = files.length === 0;
  if (failed) {
    reporter.error("", "No test files found");
  } else {
    try {
      await vitest.runTestSpecifications(files.map((file) => project.createSpecification(file)), true);
    } catch (error) {
      reporter.failure(error);
    }
    failed = reporter.failed;
  }
  send({ type: "result", errors: reporter.errors, exit_code: failed ? 1 : 0 });
  return failed ? 1 : 0;
}
