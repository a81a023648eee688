// node calls.mjs <server>: use piston-client as its readme does; print what it returns as JSON.
import { piston } from "piston-client";

const client = piston({ server: process.argv[2] });
const named = (content, name = "main.mjs") => ({ name, content });
const runtimes = await client.runtimes();
const hello = await client.execute("tiny", {
  files: [named("import './other.mjs'; process.stdin.on('data', (text) => console.log(`${text}`.trim(), process.argv.slice(2)))"), named("console.log('other')", "other.mjs")],
  stdin: "typed",
  args: ["a", "b c"],
});
const slow = await client.execute("tiny", { files: [named("setTimeout(() => {}, 60000)")], runTimeout: 300 });
const unknown = await client.execute("cobol", { files: [named("")], version: "*" });
const much = await client.execute("tiny", { files: [named("")], runTimeout: 20001 });
console.log(JSON.stringify({ runtimes, hello, slow, unknown, much }));
