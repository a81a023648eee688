import { readFileSync } from "node:fs";
import { greet } from "./greet.js";

console.log(greet(process.argv[2] ?? "nobody", readFileSync(0, "utf8").trim()));
