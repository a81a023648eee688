// Convert the reports of vitest into messages of the runner.
import { inspect, stripVTControlCharacters } from "node:util";
import { KEPT } from "./output.mjs";

const MESSAGE_BYTES = 8_192;
const NAME_BYTES = 2_000;
// One line carries all errors, and the host limits the length of a line.
const ERRORS = 50;
const CAUSES = 5;
// The limits of the host: for one stream of a test, and for all tests of a run together.
const OUTPUT_BYTES = 65_536;
const OUTPUTS_BYTES = 2 * 1024 * 1024;

/** The reporter of a process. It sends nothing before `listen` is called. */
export class CaseReporter {
  errors = [];
  failed = false;
  #source;
  #send = null;
  #sent = new Set();
  #written = new Map();
  #room = OUTPUTS_BYTES;
  #passes = false;
  /** The number of reported tests. */
  reported = 0;

  constructor(source) {
    this.#source = `${source}/`;
  }

  listen(send) {
    this.#send = send;
  }

  /** Report tests that fail before they run, such as a forbidden `it.only`: vitest reports no result for them. */
  onTestModuleCollected(module) {
    for (const test of module.children.allTests("failed")) this.#report(test, "failed");
  }

  onTestCaseResult(test) {
    const { state } = test.result();
    if (state !== "pending") this.#report(test, state);
  }

  /** Choose whether console output that vitest intercepted is also written to the streams. */
  passOutputOn(yes) {
    this.#passes = yes;
  }

  /** Keep the output that vitest attributes to a test; other output appears only in the streams of the run. */
  onUserConsoleLog({ type, taskId, content, origin }) {
    if (this.#passes && origin !== KEPT) process[type].write(content);
    if (!this.#written.has(taskId)) this.#written.set(taskId, { stdout: "", stderr: "" });
    const written = this.#written.get(taskId);
    // Keep a little more than the limit, so that truncation can be detected.
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

  #report(test, state) {
    if (this.#send === null || this.#sent.has(test.id)) return;
    this.#sent.add(test.id);
    this.reported += 1;
    // A test that passed after a retry may have the errors of its earlier attempts.
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
    // Tests of a worker that died may never have run: report them as skipped.
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        this.#report(test, state === "pending" ? "skipped" : state);
      }
    }
    for (const error of unhandled) {
      const file = error.VITEST_TEST_PATH ? this.#relative(error.VITEST_TEST_PATH) : "";
      this.error(file, `${error.type ?? "Unhandled Error"}: ${describe(error)}`);
    }
  }

  /** Record an error of vitest itself. */
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

  /** Return the position of the stack frame in the test file, or else of the nearest frame under src/. */
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

/** Return the thrown object without the properties that vitest adds. */
function visible({ stack, stacks, ...own }) {
  return own;
}

function capped(text, most = MESSAGE_BYTES) {
  const kept = beginning(text, most);
  return kept === text ? text : `${kept}…`;
}

/** Return the longest beginning of `text` that has at most `most` bytes in UTF-8. */
function beginning(text, most) {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  return bytes.subarray(0, most).toString("utf8").replace(/\uFFFD$/, "");
}
