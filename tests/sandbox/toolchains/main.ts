// For deno and bun: each brings a server of its own.
declare const Deno: any, Bun: any;
const answer = () => new Response("talked");
const local = { port: 0, hostname: "127.0.0.1" };
const server =
  typeof Bun === "undefined" ? Deno.serve({ ...local, onListen() {} }, answer) : Bun.serve({ ...local, fetch: answer });
const port = server.port ?? server.addr.port;
const said = await (await fetch(`http://127.0.0.1:${port}/`)).text();
const worker = new Worker(new URL("data:text/javascript,postMessage(6 * 7)").href, { type: "module" });
const product = await new Promise((done) => (worker.onmessage = (event: any) => done(event.data)));
console.log(said, product);
worker.terminate();
await (server.shutdown ?? server.stop).call(server, true);
