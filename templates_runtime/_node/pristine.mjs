// The vitest server shares this process with the tests. A test may replace `fs.readFileSync`, and the server must still
// load the next import. The server therefore uses copies of these modules, made before any test runs.
import { registerHooks } from "node:module";

const COPIED = new Set(["fs", "fs/promises", "path", "url"]);
const TOOL = /\/node_modules\/(?:vite|vitest|@vitest|rolldown|tinyglobby|fdir)\//;
const SCHEME = "pristine:";

registerHooks({
  resolve(specifier, context, nextResolve) {
    const name = specifier.replace(/^node:/, "");
    if (!COPIED.has(name) || !TOOL.test(context.parentURL ?? "")) return nextResolve(specifier, context);
    return { url: SCHEME + name, format: "module", shortCircuit: true };
  },
  load(url, context, nextLoad) {
    if (!url.startsWith(SCHEME)) return nextLoad(url, context);
    return { format: "module", source: copyOf(url.slice(SCHEME.length)), shortCircuit: true };
  },
});

/** Return the source of a module that copies the exports of `name`. Deprecated getters are not read or copied. */
function copyOf(name) {
  const original = process.getBuiltinModule(name);
  const descriptors = Object.entries(Object.getOwnPropertyDescriptors(original));
  const names = descriptors.filter(([, { value }]) => value !== undefined).map(([key]) => key);
  const promises = name === "fs" ? "copy.promises = { ...original.promises };" : "";
  return `
    const original = process.getBuiltinModule("${name}");
    const copy = {};
    for (const key of ${JSON.stringify(names)}) copy[key] = original[key];
    ${promises}
    export default copy;
    export { copy as "module.exports" };
    ${names.map((key, index) => `const v${index} = copy.${key}; export { v${index} as "${key}" };`).join("\n")}
    ${promises && "const promises = copy.promises; export { promises };"}
  `;
}
