// `process.stdin` is made when it is first asked for, and libuv then sets a pipe at descriptor 0 non-blocking, for all
// who have it: a test's `readFileSync(0)` would throw EAGAIN if its input has not arrived yet. vite and vitest ask for it
// to see whether it is a terminal. Until tests run they are given another stream.
import { Readable } from "node:stream";

/** What is no terminal and never has anything. */
export const noInput = new Readable({ read() {} });

const original = Object.getOwnPropertyDescriptor(process, "stdin");

/** Has `process.stdin` be `noInput`. */
export function withholdStdin() {
  Object.defineProperty(process, "stdin", { ...original, get: () => noInput });
}

/** Gives `process.stdin` back as Node has it: not made yet. */
export function giveStdinBack() {
  Object.defineProperty(process, "stdin", original);
}
