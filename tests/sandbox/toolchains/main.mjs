// For Node: a server, a client, a worker, a child.
import { execFileSync } from "node:child_process";
import http from "node:http";
import { Worker } from "node:worker_threads";

const server = http.createServer((_, answer) => answer.end("talked")).listen(0, "127.0.0.1");
await new Promise((done) => server.on("listening", done));
const said = await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text();
const worker = new Worker("require('node:worker_threads').parentPort.postMessage(6 * 7)", { eval: true });
const product = await new Promise((done) => worker.on("message", done));
execFileSync("/bin/true");
console.log(said, product);
process.exit(0);
