// `node --import …/typescript.mjs main.ts`: TypeScript in a plain Node, outside of Stencil too.
import hooks from "./hooks.cjs";

hooks.install();
