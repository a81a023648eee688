"use strict";
// Remove the traces of the template modules that Node loads before the program.
const { dirname } = require("node:path");
const Module = require("node:module");

const TEMPLATE = `${dirname(__dirname)}/`;
const OPTION = "--require";

function isOurs(option, value) {
  return option === OPTION && value !== undefined && value.startsWith(TEMPLATE);
}

/** Return `argv` without each `--require` option that names a file of the template. */
function withoutOurs(argv) {
  return argv.filter((item, index) => !isOurs(item, argv[index + 1]) && !isOurs(argv[index - 1], item));
}

/** Empty the cache of `require`, so that the program loads its own copy of each module. */
function forget() {
  for (const key of Object.keys(Module._cache)) delete Module._cache[key];
  for (const key of Object.keys(Module._pathCache)) delete Module._pathCache[key];
}

/** Hide the template modules in the calling process or thread. Call this after all of them are loaded. */
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
