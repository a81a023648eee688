"use strict";
// A fork server: this process, with all that it has loaded, is copied for each sandbox. `serve` returns in each copy.
const { dirname } = require("node:path");
const { CHANNEL, forks } = require("./protocol.cjs");

const ADDON = `${dirname(__dirname)}/_fork/node.so`;
// The module of Node that keeps random bytes for this many calls of `randomUUID` and of `randomInt`.
const KEEPER = "NativeModule internal/crypto/random";
const UUIDS = 128;
const INTEGERS = 1024;

const { random } = Math;

/**
 * In a fork server, replace `Math.random` until it serves. V8 seeds the function of a context at its first call: a call
 * before the fork would give all copies the same numbers.
 */
function withholdRandom() {
  if (!forks) return;
  const { randomInt } = require("node:crypto");
  Math.random = () => randomInt(2 ** 32) / 2 ** 32;
}

/** In a fork server, wait for requests for ever; return in each copy. In any other process return at once. */
function serve() {
  if (!forks) return;
  const addon = { exports: {} };
  process.dlopen(addon, ADDON);
  Math.random = random;
  const keeps = process.moduleLoadList?.includes(KEEPER) ?? true;
  // An identity hash draws a number from the generator of V8, by which the addon finds it.
  const pid = addon.exports.fork(CHANNEL, CHANNEL, () => new WeakSet().add({}));
  Object.defineProperty(process, "pid", { ...Object.getOwnPropertyDescriptor(process, "pid"), value: pid });
  if (keeps) renewRandomness();
}

/** Use up the random bytes that Node has kept from before the fork. */
function renewRandomness() {
  const { randomInt, randomUUID } = require("node:crypto");
  for (let count = 0; count < UUIDS; count += 1) randomUUID();
  for (let count = 0; count < INTEGERS; count += 1) randomInt(2);
}

module.exports = { serve, withholdRandom };
