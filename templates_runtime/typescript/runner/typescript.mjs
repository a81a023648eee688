// TypeScript for plain Node, by the compiler and the rules that vitest uses: enums, namespaces, decorators and
// parameter properties are compiled by oxc with the workspace's tsconfig; imports may leave out the extension. Loading
// this file is what changes Node.
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire, registerHooks, setSourceMapsSupport } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";

// rolldown belongs to vite, and is asked for from there, so that it is the very one vitest compiles with.
const requireFromVite = createRequire(createRequire(import.meta.url).resolve("vite"));
const { TsconfigCache, parseSync, transformSync } = requireFromVite("rolldown/utils");

const COMPILED = /\.(?:ts|tsx|mts|cts|jsx)$/;
const EXTENSIONS = [".mjs", ".js", ".mts", ".ts", ".jsx", ".tsx", ".json"];
const LANGUAGES = { mts: "ts", cts: "ts" };
// `import "./a.js"` may mean what will be compiled to it.
const SOURCES = { ".js": [".ts", ".tsx"], ".jsx": [".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };
const NAME = /^[A-Za-z_$][\w$]*$/;
const HELPERS = "@oxc-project/runtime/helpers/";
const tsconfigs = new TsconfigCache();

class CompileError extends SyntaxError {
  constructor(path, message) {
    super(stripVTControlCharacters(message).trimEnd());
    this.name = "SyntaxError";
    this.stack = `${path}\nSyntaxError: ${this.message}`;
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
    const url = new URL(`./helpers/${specifier.slice(HELPERS.length)}.cjs`, import.meta.url).href;
    return { url, format: "commonjs", shortCircuit: true };
  }
  try {
    return nextResolve(specifier, context);
  } catch (error) {
    const path = pathOf(specifier, context.parentURL);
    const found = path && guess(path);
    if (!found) throw error;
    return { url: pathToFileURL(found).href, shortCircuit: true };
  }
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
  const source = compiled ? compile(path, text) : text;
  // "module-typescript" and the like: an extension or a package.json says it. Else the syntax decides, as in Node.
  const declared = /^(?:module|commonjs)/.exec(context.format ?? "")?.[0];
  return { format: declared ?? formatOf(source), source, shortCircuit: true };
}

/** JavaScript with an inline source map. @throws SyntaxError that shows the place. */
function compile(path, source) {
  const extension = path.slice(path.lastIndexOf(".") + 1);
  const options = {
    lang: LANGUAGES[extension] ?? extension,
    sourceType: extension === "cts" ? "commonjs" : "module",
    sourcemap: true,
  };
  const { code, map, errors } = transformSync(path, source, options, tsconfigs);
  if (errors.length > 0) throw new CompileError(path, errors[0].message);
  const inline = Buffer.from(JSON.stringify(map)).toString("base64");
  return `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}`;
}

function formatOf(code) {
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

registerHooks({ resolve, load });
process.on("uncaughtExceptionMonitor", explain);
// Loaded for the first time here rather than on the first error.
setSourceMapsSupport(true, { nodeModules: false, generatedCode: false });
// Loads the native compiler's code paths before the job arrives.
formatOf(compile("/workspace/warm.ts", "enum A { B }"));
