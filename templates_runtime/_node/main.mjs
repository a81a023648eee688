// Stencil's runner for Node: `node _node/main.mjs [module…] run|test`. It loads all it needs, and the modules that a
// definition adds, says `ready`, waits for one job on descriptor 3 and does it. `prepare()` returns
// what does it.
import { pathToFileURL } from "node:url";
import { receive, send, writeFiles } from "./protocol.mjs";

const WORKSPACE = "/workspace";
const SOURCE = `${WORKSPACE}/src`;
// What each mode loads, in this order; the last one prepares it.
const MODES = { run: ["./run-mode.mjs"], test: ["./pristine.mjs", "./test-mode.mjs"] };

// Ours, not the user's, and read already. A job that is there already should not wait for a rehearsal.
const cold = process.env.STENCIL_COLD !== undefined;
delete process.env.STENCIL_COLD;
delete process.env.NODE_COMPILE_CACHE;
delete process.env.STENCIL_MODE;

// The compiler starts threads by the number of CPUs, which on a large machine are more than a sandbox may have.
const THREADS = { ROLLDOWN_WORKER_THREADS: "1", RAYON_NUM_THREADS: "1" };
Object.assign(process.env, THREADS);

const additions = process.argv.slice(2);
const name = additions.pop();
const modules = MODES[name];
if (!modules) throw new Error(`unknown mode: ${name}`);
process.chdir(WORKSPACE);
let mode;
for (const module of modules) mode = await import(module);
for (const module of additions) await import(pathToFileURL(module));
const perform = await mode.prepare({ workspace: WORKSPACE, source: SOURCE, cold });
for (const variable of Object.keys(THREADS)) delete process.env[variable];

send({ type: "ready" });
const job = receive();
if (job) {
  writeFiles(SOURCE, job.files);
  Object.assign(process.env, job.env);
  await perform(job);
}
