// Mode `run`: the entry file becomes this process's main module, as if Node had been started with it.
import { existsSync } from "node:fs";
import { Module } from "node:module";
import { tellExit } from "./protocol.mjs";

const listenerCount = process.listenerCount.bind(process);
const exit = process.reallyExit.bind(process);

export async function prepare({ source }) {
  return ({ entry, args }) => {
    const leave = tellExit(exit);
    // What is not a plain success is left to Node, which may have something to say after this event.
    process.on("exit", (code) => {
      if (code === 0 && listenerCount("exit") === 1) leave();
    });
    const main = `${source}/${entry}`;
    if (!existsSync(main)) {
      process.stderr.write(`Entry file not found: ${entry}\n`);
      process.exitCode = 1;
      return;
    }
    process.argv = [process.argv[0], main, ...args];
    // From the event loop: what the program throws is its own, not a failure of this module.
    setImmediate(Module.runMain);
  };
}
