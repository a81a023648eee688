// Mode `run`: the entry file becomes this process's main module, as if Node had been started with it.
import { existsSync } from "node:fs";
import { Module } from "node:module";
import { close } from "./protocol.mjs";

export async function prepare({ source }) {
  return ({ entry, args }) => {
    close();
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
