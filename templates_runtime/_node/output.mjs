// What a test writes by `console` is told with the test, as vitest attributes it: by the task that runs when it is
// written. It goes on to the stream as it was.
const LIMIT = 65_536; // bytes of each stream of a test, as the host has it

/** Says of a piece of output that it has reached the stream already. */
export const KEPT = "stencil";

const WATCHED = Symbol.for("stencil.written");
/** By task: what it wrote, until it is taken. One for all copies of this module that a worker may load. */
const written = console[WATCHED] ?? new Map();

/** Has the console of this process write through us. */
export function watchConsole() {
  // Another console than Node's shows what it takes by itself: vitest's own is told with the test already.
  if (console[WATCHED] || !Object.getOwnPropertyDescriptor(console, "_stdout").get) return;
  Object.defineProperty(console, WATCHED, { value: written });
  for (const name of ["stdout", "stderr"]) {
    const key = `_${name}`;
    const original = Object.getOwnPropertyDescriptor(console, key);
    Object.defineProperty(console, key, { ...original, get: () => watched(original.get.call(console), name) });
  }
}

const views = new Map();

/** The stream, whose `write` also keeps. A test may replace `process.stdout.write`: it is looked up each time. */
function watched(stream, name) {
  if (views.get(name)?.stream === stream) return views.get(name).view;
  const write = (chunk, ...rest) => {
    keep(name, chunk);
    return stream.write(chunk, ...rest);
  };
  const get = (target, key) => {
    if (key === "write") return write;
    const value = target[key];
    return typeof value === "function" ? value.bind(target) : value;
  };
  const view = new Proxy(stream, { get });
  views.set(name, { stream, view });
  return view;
}

function keep(name, chunk) {
  const task = globalThis.__vitest_worker__?.current;
  if (task?.type !== "test") return;
  let kept = written.get(task.id);
  if (kept === undefined) written.set(task.id, (kept = { stdout: [], stderr: [], bytes: { stdout: 0, stderr: 0 } }));
  // One piece more than there is room for: then it can be told that some is missing.
  if (kept.bytes[name] > LIMIT) return;
  const text = String(chunk);
  kept[name].push(text.slice(0, LIMIT + 1));
  kept.bytes[name] += Buffer.byteLength(text);
}

/** What a finished test wrote, by stream, in vitest's own form. It is kept no longer. */
export function taken(taskId) {
  const kept = written.get(taskId);
  if (kept === undefined) return [];
  written.delete(taskId);
  return ["stdout", "stderr"]
    .filter((type) => kept[type].length > 0)
    .map((type) => ({ type, taskId, content: kept[type].join(""), size: kept.bytes[type], time: Date.now(), origin: KEPT }));
}
