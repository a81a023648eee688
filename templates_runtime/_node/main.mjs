// Mode `test`: `node _node/main.mjs test`. Load vitest, send `ready`, wait for one job and run it.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import protocol from "./protocol.cjs";
import server from "./server.cjs";
import { giveStdinBack, withholdStdin } from "./stdin.mjs";

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
const { serve, withholdRandom } = server;
const { cold, handedOver, receive, send, writeFiles } = protocol;
// The paths in src/ at which vitest looks for a configuration file.
const CONFIGURATION = /^(?:vitest|vite)\.config\.[cm]?[jt]s$/;

// The environment at startup, for a new process: the warm process changes its own environment.
const inherited = { ...process.env };

const handed = handedOver();
const ownConfiguration = (job) => job.files.find(({ path }) => CONFIGURATION.test(path))?.path;

withholdRandom();
process.chdir(WORKSPACE);
if (handed && ownConfiguration(handed)) {
  withholdStdin();
  const { test } = await import("./own.mjs");
  giveStdinBack();
  await test(SOURCE);
} else {
  await testAsUsual();
}

async function testAsUsual() {
  // The compiler starts a thread per CPU. On a large machine these threads would exceed the limit of the sandbox.
  const threads = { ROLLDOWN_WORKER_THREADS: "1", RAYON_NUM_THREADS: "1" };
  Object.assign(process.env, threads);
  withholdStdin();
  await import("./pristine.mjs");
  const { prepare } = await import("./test-mode.mjs");
  const perform = await prepare({ workspace: WORKSPACE, source: SOURCE, cold });
  giveStdinBack();
  for (const variable of Object.keys(threads)) delete process.env[variable];
  if (handed) {
    await perform(handed);
    return;
  }
  serve();
  send({ type: "ready" });
  const job = receive();
  if (job === null) return;
  writeFiles(SOURCE, job.files);
  const reason = whyAnew(job);
  if (reason) {
    const argv = [fileURLToPath(new URL("./main.mjs", import.meta.url)), "test"];
    const { startAnew } = createRequire(import.meta.url)("./anew.cjs");
    startAnew({ reason, argv, job, env: { ...inherited, ...job.env } });
  }
  Object.assign(process.env, job.env);
  await perform(job);
}

/** Return the reason why this process cannot run the job, or undefined if it can. */
function whyAnew(job) {
  if (job.late?.length > 0) return `${job.late[0]} is read when Node starts`;
  const own = ownConfiguration(job);
  return own && `${own} is the submission's own configuration`;
}
