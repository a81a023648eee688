"use strict";
// Node passes its own options to its threads, unless a thread has its own options or environment, and to no child
// process. This file makes each thread and each Node that a program starts load one file first. It does so where no
// stack shows it: where Node calls libuv, and in NODE_OPTIONS, which `withdraw` removes again in the child.
const { getCompileCacheDir, syncBuiltinESMExports } = require("node:module");
const { basename, dirname } = require("node:path");
const threads = require("node:worker_threads");
const { OPTION } = require("../_node/hide.cjs");

const NAME = "NODE_OPTIONS";
const CACHE = "NODE_COMPILE_CACHE";
const MENTIONS_NODE = /\bnode\b/;
const SHELLS = new Set(["sh", "bash"]);

function reach(file) {
  const asked = `${OPTION}=${file}`;
  const cache = getCompileCacheDir() ?? process.env[CACHE];
  withdraw(asked);
  const { Process } = process.binding("process_wrap");
  Process.prototype.spawn = reaching(Process.prototype.spawn, asked, cache);
  const sync = process.binding("spawn_sync");
  sync.spawn = reaching(sync.spawn, asked, cache);
  reachThreads(file);
}

/** Remove the option that the parent process added to this environment: the program must not see it. */
function withdraw(asked) {
  const said = process.env[NAME];
  if (said !== asked && !said?.startsWith(`${asked} `)) return;
  if (said === asked) delete process.env[NAME];
  else process.env[NAME] = said.slice(asked.length + 1);
  delete process.env[CACHE];
}

/** Wrap `spawn`. It takes one object of options, or positional: file, arguments, folder, environment and more. */
function reaching(spawn, asked, cache) {
  return function (...given) {
    const [first, args, folder, pairs, ...rest] = given;
    if (typeof first === "object") {
      if (startsNode(first)) first.envPairs = asking(first.envPairs ?? [], asked, cache);
    } else if (Array.isArray(pairs) && startsNode({ file: first, args })) {
      given = [first, args, folder, asking(pairs, asked, cache), ...rest];
    }
    return Reflect.apply(spawn, this, given);
  };
}

/** Return whether the file is Node, or a shell whose command mentions Node. */
function startsNode({ file, args }) {
  const name = basename(String(file));
  return name === "node" || (SHELLS.has(name) && (args ?? []).some((item) => MENTIONS_NODE.test(item)));
}

function asking(pairs, asked, cache) {
  const theirs = pairs.find((pair) => pair.startsWith(`${NAME}=`))?.slice(NAME.length + 1);
  const others = pairs.filter((pair) => !pair.startsWith(`${NAME}=`));
  const ours = [`${NAME}=${theirs ? `${asked} ${theirs}` : asked}`];
  if (cache && !others.some((pair) => pair.startsWith(`${CACHE}=`))) ours.push(`${CACHE}=${dirname(cache)}`);
  return [...others, ...ours];
}

/** Add the option to the options of each thread that has its own options or its own environment. */
function reachThreads(file) {
  const { SHARE_ENV, Worker } = threads;
  const asking = ([filename, options, ...rest]) => {
    const own = options?.env && options.env !== SHARE_ENV;
    if (!own && !Array.isArray(options?.execArgv)) return [filename, options, ...rest];
    const execArgv = [OPTION, file, ...(options.execArgv ?? process.execArgv)];
    return [filename, { ...options, execArgv }, ...rest];
  };
  threads.Worker = new Proxy(Worker, {
    construct(target, args, newTarget) {
      try {
        return Reflect.construct(target, asking(args), newTarget);
      } catch (error) {
        if (typeof error?.stack === "string") error.stack = withoutOurs(error.stack);
        throw error;
      }
    },
  });
  Worker.prototype.constructor = threads.Worker;
  syncBuiltinESMExports();
}

function withoutOurs(stack) {
  const ours = (line) => line.includes(__filename) || line.includes("at Reflect.construct ");
  return stack.split("\n").filter((line) => !ours(line)).join("\n");
}

module.exports = { reach };
