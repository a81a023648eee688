"use strict";
// TypeScript for plain Node, by the compiler and the rules that vitest uses: enums, namespaces, decorators and
// parameter properties are compiled by oxc with the workspace's tsconfig; imports may leave out the extension and go by
// the `paths` of a tsconfig. `install` changes Node in the thread that calls it.
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
// `import "./a.js"` may mean what will be compiled to it.
const SOURCES = { ".js": [".ts", ".tsx"], ".jsx": [".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };
const NAME = /^[A-Za-z_$][\w$]*$/;
const FRAME = /^    at /;
// Those of Node's frames that stand there only because somebody has hooks.
const OF_HOOKS = /customization_hooks|\b(?:defaultResolve|nextStep|resolveWithHooks) \(/;
const OUR_FRAMES = 8;
const HELPERS = "@oxc-project/runtime/helpers/";
const HERE = __dirname;

let compiler = null;

/** Loaded when it is first asked for: most threads and children have nothing to compile. */
function loaded() {
  if (compiler !== null) return compiler;
  const known = new Set(Object.keys(Module._cache));
  // The compiler starts threads by the number of CPUs, which on a large machine are more than a sandbox may have.
  const before = process.env.RAYON_NUM_THREADS;
  process.env.RAYON_NUM_THREADS = "1";
  // rolldown belongs to vite, and is asked for from there, so that it is the very one vitest compiles with.
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
    // Only now, so that a program without such an error has no listener that is not its own.
    if (!process.listeners("uncaughtExceptionMonitor").includes(explain)) process.on("uncaughtExceptionMonitor", explain);
  }
}

/** Node would show the line of this file that threw; the program's line is in the message. */
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
  // Node's error for what is not there costs more than all the rest.
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
 * Throws Node's own error, less the frames that are ours and those of Node's that call us, from where Node threw it: an
 * error that nobody catches is shown with the line that threw it last.
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
  // "module-typescript" and the like: an extension or a package.json says it. Else the syntax decides, as in Node.
  const declared = /^(?:module|commonjs)/.exec(context.format ?? "")?.[0];
  return { format: declared ?? formatOf(source), source, shortCircuit: true };
}

let latest = {};

/** As `compile`. Node asks twice for a main module whose syntax says that it is no CommonJS. */
function compiledOnce(path, source) {
  if (latest.path !== path || latest.source !== source) latest = { path, source, code: compile(path, source) };
  return latest.code;
}

/** JavaScript with an inline source map. @throws SyntaxError that shows the place. */
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
  // An `await` outside any function is a module's too, and an error anywhere else.
  if (!/\bawait\b/.test(code)) return "commonjs";
  return parseSync("file.cjs", code, { sourceType: "commonjs" }).errors.length > 0 ? "module" : "commonjs";
}

/** As vite has it: the value is the default export, and what can be a name is exported by name. */
function jsonModule(text) {
  const value = JSON.parse(text);
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  const names = Object.keys(isObject ? value : {}).filter((key) => NAME.test(key) && key !== "default");
  const exports = names.map((name, index) => `const v${index} = value.${name}; export { v${index} as ${name} };`);
  return `const value = JSON.parse(${JSON.stringify(text)}); export default value; ${exports.join(" ")}`;
}

/** Loads the native compiler's code paths, and Node's maps of sources, before the job arrives. */
function warm() {
  formatOf(compile("/workspace/warm.ts", "enum A { B }"));
}

function install() {
  registerHooks({ resolve, load });
  // Loaded for the first time here rather than on the first error.
  setSourceMapsSupport(true, { nodeModules: false, generatedCode: false });
}

module.exports = { install, warm };
