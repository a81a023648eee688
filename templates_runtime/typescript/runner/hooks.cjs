"use strict";
// Run TypeScript in plain Node, with the compiler and the rules of vitest: oxc compiles enums, namespaces, decorators
// and parameter properties with the workspace's tsconfig. Imports may omit the extension and use the `paths` of a
// tsconfig. `install` changes Node in the thread that calls it.
const { existsSync, readFileSync, statSync } = require("node:fs");
const Module = require("node:module");
const { fileURLToPath, pathToFileURL } = require("node:url");
const { stripVTControlCharacters } = require("node:util");
const { Script } = require("node:vm");
const { withPaths } = require("./paths.cjs");

const { registerHooks, setSourceMapsSupport } = Module;
const COMPILED = /\.(?:ts|tsx|mts|cts|jsx)$/;
const EXTENSIONS = [".mjs", ".js", ".mts", ".ts", ".jsx", ".tsx", ".json"];
const LANGUAGES = { mts: "ts", cts: "ts" };
// The sources that `import "./a.js"` may refer to.
const SOURCES = { ".js": [".ts", ".tsx"], ".jsx": [".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };
const NAME = /^[A-Za-z_$][\w$]*$/;
const FRAME = /^    at /;
// The frames of Node that appear in a stack only when hooks are registered.
const OF_HOOKS = /customization_hooks|\b(?:defaultResolve|nextStep|resolveWithHooks) \(/;
const OUR_FRAMES = 8;
const HELPERS = "@oxc-project/runtime/helpers/";
const HERE = __dirname;

let compiler = null;

/** Load the compiler at the first call: most threads and child processes compile nothing. */
function loaded() {
  if (compiler !== null) return compiler;
  const known = new Set(Object.keys(Module._cache));
  // The compiler starts one thread per CPU. On a large machine these are more threads than a sandbox allows.
  const before = process.env.RAYON_NUM_THREADS;
  process.env.RAYON_NUM_THREADS = "1";
  // Resolve rolldown from vite's folder, so that this is the same rolldown that vitest compiles with.
  const requireFromVite = Module.createRequire(require.resolve("vite"));
  const { TsconfigCache, parseSync, transformSync } = requireFromVite("rolldown/utils");
  compiler = { parseSync, transformSync, tsconfigs: new TsconfigCache() };
  if (before === undefined) delete process.env.RAYON_NUM_THREADS;
  else process.env.RAYON_NUM_THREADS = before;
  for (const key of Object.keys(Module._cache)) if (!known.has(key)) delete Module._cache[key];
  return compiler;
}

class CompileError extends SyntaxError {
  constructor(path, message) {
    super(stripVTControlCharacters(message).trimEnd());
    this.name = "SyntaxError";
    this.stack = `${path}\nSyntaxError: ${this.message}`;
    // Add the listener only here: a program without a compile error keeps only its own listeners.
    if (!process.listeners("uncaughtExceptionMonitor").includes(explain)) process.on("uncaughtExceptionMonitor", explain);
  }
}

/** Print the message, which has the program's line. Node would print the line of this file that threw. */
function explain(error) {
  if (!(error instanceof CompileError) || process.listenerCount("uncaughtException") > 0) return;
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}

function resolve(specifier, context, nextResolve) {
  if (specifier.startsWith(HELPERS)) {
    const url = pathToFileURL(`${HERE}/helpers/${specifier.slice(HELPERS.length)}.cjs`).href;
    return { url, format: "commonjs", shortCircuit: true };
  }
  const limit = Error.stackTraceLimit;
  const mapped = withPaths(specifier, context.parentURL);
  if (mapped) return { url: pathToFileURL(mapped).href, shortCircuit: true };
  // Node's error for a missing file is the most expensive step, so look for the file first.
  const path = pathOf(specifier, context.parentURL);
  if (path && !existsSync(path)) {
    const found = guess(path);
    if (found) return { url: pathToFileURL(found).href, shortCircuit: true };
  }
  try {
    if (typeof limit === "number") Reflect.set(Error, "stackTraceLimit", limit + OUR_FRAMES);
    return nextResolve(specifier, context);
  } catch (error) {
    const found = path && guess(path);
    if (!found) rethrow(error, limit);
    return { url: pathToFileURL(found).href, shortCircuit: true };
  } finally {
    if (typeof limit === "number") Reflect.set(Error, "stackTraceLimit", limit);
  }
}

/**
 * Throw Node's own error without the frames of this file and of Node's hooks. Throw it from the line where Node threw
 * it: for an uncaught error Node prints the line that threw it last.
 */
function rethrow(error, limit) {
  if (typeof error?.stack !== "string") throw error;
  const frames = error.stack.split("\n").filter((line) => FRAME.test(line) && !isOurs(line));
  const head = error.stack.split("\n").filter((line) => !FRAME.test(line));
  error.stack = [...head, ...frames.slice(0, limit)].join("\n");
  const [, filename, line] = /\((node:[^:]+):(\d+):\d+\)/.exec(frames[0]) ?? [];
  if (filename === undefined) throw error;
  new Script("(err) => {\n  throw err;\n}", { filename, lineOffset: line - 2 }).runInThisContext()(error);
}

function isOurs(line) {
  return line.includes(HERE) || OF_HOOKS.test(line);
}

function pathOf(specifier, parentURL) {
  if (/^(?:\.{0,2}\/|\.{1,2}$|file:)/.test(specifier) === false) return null;
  try {
    return fileURLToPath(new URL(specifier, parentURL));
  } catch {
    return null;
  }
}

function guess(path) {
  const extension = /\.[cm]?jsx?$/.exec(path)?.[0];
  const stem = extension && path.slice(0, -extension.length);
  const candidates = [
    ...(SOURCES[extension] ?? []).map((other) => stem + other),
    ...EXTENSIONS.map((other) => path + other),
    ...EXTENSIONS.map((other) => `${path}/index${other}`),
  ];
  return candidates.find((candidate) => existsSync(candidate) && statSync(candidate).isFile());
}

function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || url.includes("/node_modules/")) return nextLoad(url, context);
  const path = fileURLToPath(url);
  if (path.endsWith(".json") && context.conditions?.includes("import") && !context.importAttributes?.type) {
    const text = readFileSync(path, "utf8").replace(/^\uFEFF/, "");
    return { format: "module", source: jsonModule(text), shortCircuit: true };
  }
  const compiled = COMPILED.test(path);
  if (!compiled && !(path.endsWith(".js") && !context.format)) return nextLoad(url, context);
  const text = readFileSync(path, "utf8");
  const source = compiled ? compiledOnce(path, text) : text;
  // "module-typescript" and similar: an extension or package.json decides. Otherwise the syntax does, as in Node.
  const declared = /^(?:module|commonjs)/.exec(context.format ?? "")?.[0];
  return { format: declared ?? formatOf(source), source, shortCircuit: true };
}

let latest = {};

/** Return `compile` of the source, cached: Node loads a main module twice if its syntax is not CommonJS. */
function compiledOnce(path, source) {
  if (latest.path !== path || latest.source !== source) latest = { path, source, code: compile(path, source) };
  return latest.code;
}

/** Return JavaScript with an inline source map. @throws SyntaxError that shows the line and the column. */
function compile(path, source) {
  const extension = path.slice(path.lastIndexOf(".") + 1);
  const options = {
    lang: LANGUAGES[extension] ?? extension,
    sourceType: extension === "cts" ? "commonjs" : "module",
    sourcemap: true,
  };
  const { transformSync, tsconfigs } = loaded();
  const { code, map, errors } = transformSync(path, source, options, tsconfigs);
  if (errors.length > 0) throw new CompileError(path, errors[0].message);
  const inline = Buffer.from(JSON.stringify(map)).toString("base64");
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}`;
}

function formatOf(code) {
  const { parseSync } = loaded();
  if (parseSync("file.js", code, { sourceType: "module" }).module.hasModuleSyntax) return "module";
  // An `await` outside any function is also module syntax; in CommonJS it is an error.
  if (!/\bawait\b/.test(code)) return "commonjs";
  return parseSync("file.cjs", code, { sourceType: "commonjs" }).errors.length > 0 ? "module" : "commonjs";
}

/** Return a module as vite makes it: the value is the default export; each key that is a valid name is an export. */
function jsonModule(text) {
  const value = JSON.parse(text);
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  const names = Object.keys(isObject ? value : {}).filter((key) => NAME.test(key) && key !== "default");
  const exports = names.map((name, index) => `const v${index} = value.${name}; export { v${index} as ${name} };`);
  return `const value = JSON.parse(${JSON.stringify(text)}); export default value; ${exports.join(" ")}`;
}

/** Load the code of the native compiler and Node's source maps before the job arrives. */
function warm() {
  formatOf(compile("/workspace/warm.ts", "enum A { B }"));
}

function install() {
  registerHooks({ resolve, load });
  // Load Node's support for source maps here instead of at the first error.
  setSourceMapsSupport(true, { nodeModules: false, generatedCode: false });
}

module.exports = { install, warm };
