import { defineConfig } from "vitest/config";

// The configuration of `vitest run` in a workspace.
export default defineConfig({
  test: {
    include: ["src/**/*.{test,spec}.?(c|m)js?(x)"],
    watch: false,
    fsModuleCache: false,
  },
});
