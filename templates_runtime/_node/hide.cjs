"use strict";
// Takes away what tells that Node was asked to load modules of the template before the program's own.
const { dirname } = require("node:path");
const Module = require("node:module");

const TEMPLATE = `${dirname(__dirname)}/`;
const OPTION = "--require";

function isOurs(option, value) {
  return option === OPTION && value !== undefined && value.startsWith(TEMPLATE);
}

/** The rest of some arguments of Node, less each `--require` of a file of the template. */
function withoutOurs(argv) {
  return argv.filter((item, index) => !isOurs(item, argv[index + 1]) && !isOurs(argv[index - 1], item));
}

/** What was required so far is forgotten: a program that requires the same gets its own. */
function forget() {
  for (const key of Object.keys(Module._cache)) delete Module._cache[key];
  for (const key of Object.keys(Module._pathCache)) delete Module._pathCache[key];
}

/** In the process or thread that this is called in. Call it when all is loaded. */
function hide() {
  process.execArgv.splice(0, process.execArgv.length, ...withoutOurs(process.execArgv));
  const preloaded = (process._preload_modules ?? []).filter((path) => !path.startsWith(TEMPLATE));
  Object.defineProperty(process, "_preload_modules", {
    ...Object.getOwnPropertyDescriptor(process, "_preload_modules"),
    value: preloaded,
  });
  forget();
}

module.exports = { OPTION, TEMPLATE, forget, hide };
