// Report the `console` output of a test with the test. As in vitest, output belongs to the task that runs when it is
// written. The output also reaches its stream unchanged.
const LIMIT = 65_536; // bytes per stream of a test; the host has the same limit

/** The `origin` of output that has already reached its stream. */
export const KEPT = "stencil";

const WATCHED = Symbol.for("stencil.written");
/** Return the function through which the console reads its standard output; undefined if it is not Node's console. */
const getter = () => Object.getOwnPropertyDescriptor(console, "_stdout")?.get;
/** Task id to the output not yet taken. A worker may load several copies of this module; all copies share the map. */
const written = getter()?.[WATCHED] ?? new Map();

/** Record the console output of this process. */
export function watchConsole() {
  // A console other than Node's shows its output itself: vitest already reports the output of its own console.
  if (!getter() || getter()[WATCHED]) return;
  for (const name of ["stdout", "stderr"]) {
    const key = `_${name}`;
    const original = Object.getOwnPropertyDescriptor(console, key);
    const get = () => watched(original.get.call(console), name);
    // A property of the console would show in its list of properties.
    Object.defineProperty(get, WATCHED, { value: written });
    Object.defineProperty(console, key, { ...original, get });
  }
}

const views = new Map();

/** Return a view of `stream` that also records writes. A test may replace `stream.write`: look it up on each call. */
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
  // Keep one chunk above the limit, so that the reporter can detect truncation.
  if (kept.bytes[name] > LIMIT) return;
  const text = String(chunk);
  kept[name].push(text.slice(0, LIMIT + 1));
  kept.bytes[name] += Buffer.byteLength(text);
}

/** Remove and return the output of a finished test, one entry per stream, in the format of vitest. */
export function taken(taskId) {
  const kept = written.get(taskId);
  if (kept === undefined) return [];
  written.delete(taskId);
  return ["stdout", "stderr"]
    .filter((type) => kept[type].length > 0)
    .map((type) => ({ type, taskId, content: kept[type].join(""), size: kept.bytes[type], time: Date.now(), origin: KEPT }));
}
