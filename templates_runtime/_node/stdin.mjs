// The first read of `process.stdin` creates the stream. libuv then makes a pipe at descriptor 0 non-blocking for all
// its holders, and `readFileSync(0)` in a test throws EAGAIN if the input has not arrived yet. vite and vitest read the
// property to detect a terminal. Give them another stream until the tests run.
import { Readable } from "node:stream";

/** A stream that is not a terminal and never has data. */
export const noInput = new Readable({ read() {} });

const original = Object.getOwnPropertyDescriptor(process, "stdin");

/** Replace `process.stdin` by `noInput`. */
export function withholdStdin() {
  Object.defineProperty(process, "stdin", { ...original, get: () => noInput });
}

/** Restore the `process.stdin` of Node, whose stream is not yet created. */
export function giveStdinBack() {
  Object.defineProperty(process, "stdin", original);
}
