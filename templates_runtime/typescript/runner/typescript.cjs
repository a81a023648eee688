"use strict";
// What `--require` loads in the runner's process, in each thread of a program and in each Node that it starts: TypeScript
// for all of them.
const { isMainThread } = require("node:worker_threads");
const { hide } = require("../_node/hide.cjs");
const children = require("./children.cjs");
const hooks = require("./hooks.cjs");

hooks.install();
children.reach(__filename);
// The runner's process hides all at once, when it has a job; it is told its mode.
if (isMainThread && process.env.STENCIL_MODE !== undefined) {
  hooks.warm();
  if (process.env.STENCIL_COLD === undefined) require("./warm.cts");
} else {
  hide();
}
