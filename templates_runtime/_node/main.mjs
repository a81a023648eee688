// Mode `test`: `node _node/main.mjs test`. It loads all it needs, says `ready`, waits for one job and does it.
import protocol from "./protocol.cjs";

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
const { cold, receive, send, writeFiles } = protocol;

// The compiler starts threads by the number of CPUs, which on a large machine are more than a sandbox may have.
const THREADS = { ROLLDOWN_WORKER_THREADS: "1", RAYON_NUM_THREADS: "1" };
Object.assign(process.env, THREADS);

process.chdir(WORKSPACE);
await import("./pristine.mjs");
const { prepare } = await import("./test-mode.mjs");
const perform = await prepare({ workspace: WORKSPACE, source: SOURCE, cold });
for (const variable of Object.keys(THREADS)) delete process.env[variable];

send({ type: "ready" });
const job = receive();
if (job) {
  writeFiles(SOURCE, job.files);
  Object.assign(process.env, job.env);
  await perform(job);
}
