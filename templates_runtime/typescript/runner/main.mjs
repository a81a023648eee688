// Stencil's runner for TypeScript: `node runner/main.mjs run|test`. It loads all it needs, says `ready`, waits for
// one job on descriptor 3 and does it. `prepare()` returns what does it.
import { receive, send, writeFiles } from "./protocol.mjs";

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
// What each mode loads, in this order; the last one prepares it.
const MODES = { run: ["./run-mode.mjs"], test: ["./pristine.mjs", "./test-mode.mjs"] };

// Ours, not the user's, and read already.
delete process.env.NODE_COMPILE_CACHE;
delete process.env.STENCIL_MODE;

// The compiler starts threads by the number of CPUs, which on a large machine are more than a sandbox may have.
const THREADS = { ROLLDOWN_WORKER_THREADS: "1", RAYON_NUM_THREADS: "1" };
Object.assign(process.env, THREADS);

const modules = MODES[process.argv[2]];
if (!modules) throw new Error(`unknown mode: ${process.argv[2]}`);
process.chdir(WORKSPACE);
let mode;
for (const module of modules) mode = await import(module);
const perform = await mode.prepare({ workspace: WORKSPACE, source: SOURCE });
for (const name of Object.keys(THREADS)) delete process.env[name];

send({ type: "ready" });
const job = receive();
if (job) {
  writeFiles(SOURCE, job.files);
  Object.assign(process.env, job.env);
  await perform(job);
}
