import { defineConfig } from "vitest/config";

// The configuration of `vitest run` in a workspace. The runner of Stencil reads this file, too.
export default defineConfig({
  test: {
    include: ["src/**/*.{test,spec}.?(c|m)[jt]s?(x)"],
    watch: false,
    fsModuleCache: false,
  },
});
