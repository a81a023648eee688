import { defineConfig } from "vitest/config";

// What bare `vitest run` in a workspace uses, and what Stencil's own runner reads too.
export default defineConfig({
  test: {
    include: ["src/**/*.{test,spec}.?(c|m)js?(x)"],
    watch: false,
    fsModuleCache: false,
  },
});
