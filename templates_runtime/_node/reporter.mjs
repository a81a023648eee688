// Turns what vitest reports into the runner's messages.
import { inspect, stripVTControlCharacters } from "node:util";
import { KEPT } from "./output.mjs";

const MESSAGE_BYTES = 8_192;
const NAME_BYTES = 2_000;
// All errors travel in one line, which the host bounds.
const ERRORS = 50;
const CAUSES = 5;
// Of one stream of a test, and of all tests of a run together: what the host keeps.
const OUTPUT_BYTES = 65_536;
const OUTPUTS_BYTES = 2 * 1024 * 1024;

/** One per process. Says nothing until `listen` gives it somewhere to say it. */
export class CaseReporter {
  errors = [];
  failed = false;
  #source;
  #send = null;
  #sent = new Set();
  #written = new Map();
  #room = OUTPUTS_BYTES;
  #passes = false;
  /** How many tests were told. */
  told = 0;

  constructor(source) {
    this.#source = `${source}/`;
  }

  listen(send) {
    this.#send = send;
  }

  /** A test may have failed before it ran: `it.only` where that is not allowed. vitest tells of none of its results. */
  onTestModuleCollected(module) {
    for (const test of module.children.allTests("failed")) this.#tell(test, "failed");
  }

  onTestCaseResult(test) {
    const { state } = test.result();
    if (state !== "pending") this.#tell(test, state);
  }

  /** Whether what vitest has taken from the console goes on to the streams. */
  passOutputOn(yes) {
    this.#passes = yes;
  }

  /** What vitest attributes to a test, which is told with it; the rest is in the streams of the run. */
  onUserConsoleLog({ type, taskId, content, origin }) {
    if (this.#passes && origin !== KEPT) process[type].write(content);
    if (!this.#written.has(taskId)) this.#written.set(taskId, { stdout: "", stderr: "" });
    const written = this.#written.get(taskId);
    // A little more than there is room for: then it can be told that some is missing.
    if (Buffer.byteLength(written[type]) <= OUTPUT_BYTES) written[type] += content;
  }

  #output(taskId) {
    const written = this.#written.get(taskId);
    if (written === undefined) return {};
    this.#written.delete(taskId);
    const output = { truncated: false };
    for (const type of ["stdout", "stderr"]) {
      const most = Math.min(OUTPUT_BYTES, this.#room);
      output[type] = beginning(written[type], most);
      output.truncated ||= output[type] !== written[type];
      this.#room -= Buffer.byteLength(output[type]);
    }
    return output;
  }

  #tell(test, state) {
    if (this.#send === null || this.#sent.has(test.id)) return;
    this.#sent.add(test.id);
    this.told += 1;
    // A test that passed in the end may have the errors of its first tries.
    const errors = (state === "failed" && test.result().errors) || [];
    this.#send({
      type: "case",
      name: capped(test.fullName, NAME_BYTES),
      file: this.#relative(test.module.moduleId),
      state,
      duration_ms: test.diagnostic()?.duration ?? null,
      message: errors.length > 0 ? capped(errors.map((error) => describe(error)).join("\n\n")) : null,
      ...this.#location(errors[0], test.module.moduleId),
      ...this.#output(test.id),
    });
  }

  onTestSuiteResult(suite) {
    this.#collect(suite, `${suite.fullName}: `);
  }

  onTestModuleEnd(module) {
    this.#collect(module, "");
  }

  onTestRunEnd(modules, unhandled, reason) {
    if (this.#send === null) return;
    this.failed = reason !== "passed" || unhandled.length > 0;
    // A worker that died leaves tests that never ran.
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        this.#tell(test, state === "pending" ? "skipped" : state);
      }
    }
    for (const error of unhandled) {
      const file = error.VITEST_TEST_PATH ? this.#relative(error.VITEST_TEST_PATH) : "";
      this.error(file, `${error.type ?? "Unhandled Error"}: ${describe(error)}`);
    }
  }

  /** vitest itself gave up. */
  failure(error) {
    this.failed = true;
    const causes = error instanceof AggregateError ? error.errors : [error];
    for (const cause of causes) this.error("", describe(cause.cause ?? cause));
  }

  error(file, message) {
    if (this.errors.length < ERRORS) this.errors.push({ file, message: capped(message) });
  }

  #collect(entity, prefix) {
    if (this.#send === null) return;
    const file = this.#relative((entity.module ?? entity).moduleId);
    for (const error of entity.errors()) this.error(file, prefix + describe(error));
  }

  #relative(path) {
    return path.startsWith(this.#source) ? path.slice(this.#source.length) : path;
  }

  /** The frame of the stack that is in the test file, else the nearest one under src/. */
  #location(error, testFile) {
    const frames = (error?.stacks ?? []).filter(({ file }) => file.startsWith(this.#source));
    const frame = frames.find(({ file }) => file === testFile) ?? frames[0];
    return { line: frame?.line ?? null, column: frame?.column ?? null };
  }
}

function describe(error, depth = 0) {
  if (error === null || typeof error !== "object") return String(error);
  const { name, message, diff, codeFrame, frame, cause } = error;
  const unknown = () => `Unknown Error: ${inspect(visible(error))}`;
  const head = name && message ? `${name}: ${message}` : message || name || unknown();
  const because = cause && depth < CAUSES && `Caused by: ${describe(cause, depth + 1)}`;
  return stripVTControlCharacters([head, diff, codeFrame ?? frame, because].filter(Boolean).join("\n\n"));
}

/** What was thrown, less what vitest adds to it. */
function visible({ stack, stacks, ...own }) {
  return own;
}

function capped(text, most = MESSAGE_BYTES) {
  const kept = beginning(text, most);
  return kept === text ? text : `${kept}…`;
}

/** As much of a text as has at most so many bytes. */
function beginning(text, most) {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  return bytes.subarray(0, most).toString("utf8").replace(/\uFFFD$/, "");
}
