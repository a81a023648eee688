// `node --import …/typescript.mjs main.ts`: run TypeScript in plain Node, also outside Stencil.
import hooks from "./hooks.cjs";

hooks.install();
