"use strict";
// `--require` loads this file in the runner's process, in each thread of a program and in each Node that the program
// starts. It adds TypeScript to all of them.
const { isMainThread } = require("node:worker_threads");
const { hide } = require("../_node/hide.cjs");
const children = require("./children.cjs");
const hooks = require("./hooks.cjs");

hooks.install();
children.reach(__filename);
// The runner's process has STENCIL_MODE in its environment. It hides its modules later, when it has a job.
if (isMainThread && process.env.STENCIL_MODE !== undefined) {
  hooks.warm();
  if (process.env.STENCIL_COLD === undefined) require("./warm.cts");
} else {
  hide();
}
