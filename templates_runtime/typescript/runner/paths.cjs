"use strict";
// Resolve imports by the `paths` and `baseUrl` of a submission's tsconfig.json, with the resolver of vite. The resolver
// is loaded only for a submission that has such a file.
const { existsSync, readFileSync } = require("node:fs");
const Module = require("node:module");
const { dirname } = require("node:path");
const { fileURLToPath } = require("node:url");

const WORKSPACE = "/workspace/src";
const EXTENSIONS = [".mjs", ".js", ".mts", ".ts", ".jsx", ".tsx", ".json"];
const OF_JAVASCRIPT = { ".js": [".ts", ".tsx", ".js"], ".jsx": [".tsx", ".jsx"], ".mjs": [".mts", ".mjs"], ".cjs": [".cts", ".cjs"] };
const MAPS = /"(?:paths|baseUrl|extends|references)"\s*:/;

const configs = new Map();
const resolvers = new Map();

/** Return the file of a bare specifier by the nearest tsconfig; null if there is none, or if it is in a package. */
function withPaths(specifier, parentURL) {
  if (/^(?:\.{1,2}(?:\/|$)|\/|#|[a-z]+:)/.test(specifier) || !parentURL?.startsWith("file:")) return null;
  if (Module.isBuiltin(specifier)) return null;
  const folder = dirname(fileURLToPath(parentURL));
  const config = configOf(folder);
  if (config === null) return null;
  const found = resolver(config).sync(folder, specifier).path;
  return found && !found.includes("/node_modules/") ? found : null;
}

function configOf(folder) {
  if (folder !== WORKSPACE && !folder.startsWith(`${WORKSPACE}/`)) return null;
  if (!configs.has(folder)) configs.set(folder, findConfig(folder));
  return configs.get(folder);
}

/** Return the path of the nearest tsconfig.json; null if that file maps nothing. */
function findConfig(folder) {
  const path = `${folder}/tsconfig.json`;
  if (!existsSync(path)) return configOf(dirname(folder));
  return MAPS.test(readFileSync(path, "utf8")) ? path : null;
}

function resolver(configFile) {
  if (!resolvers.has(configFile)) {
    const known = new Set(Object.keys(Module._cache));
    const requireFromVite = Module.createRequire(require.resolve("vite"));
    const { ResolverFactory } = requireFromVite("rolldown/experimental");
    for (const key of Object.keys(Module._cache)) if (!known.has(key)) delete Module._cache[key];
    const tsconfig = { configFile, references: "auto" };
    const options = { tsconfig, extensions: EXTENSIONS, extensionAlias: OF_JAVASCRIPT, conditionNames: ["node", "import"] };
    resolvers.set(configFile, new ResolverFactory(options));
  }
  return resolvers.get(configFile);
}

module.exports = { withPaths };
