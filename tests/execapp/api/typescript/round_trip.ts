// A round trip with openapi-fetch, by the types that openapi-typescript makes of our document.

import createClient from "openapi-fetch";
import type { components, paths } from "./stencil.js";

const [url, token] = process.argv.slice(2);
const client = createClient<paths>({
  baseUrl: url,
  headers: { Authorization: `Bearer ${token}` },
});

function same<T>(found: T, wanted: T): void {
  if (found !== wanted) throw new Error(`${String(found)} is not ${String(wanted)}`);
}

const body: components["schemas"]["SubmissionIn"] = {
  template: "tiny",
  mode: "run",
  files: [{ path: "main.mjs", content: "console.log(6 * 7)" }],
  wait: 30,
};
const made = await client.POST("/api/v1/executions", { body });
if (!made.data) throw new Error(made.error.error.message);
same(made.data.state, "succeeded");
same(made.data.stdout, "42\n");

const params = { path: { execution_id: made.data.id } };
const read = await client.GET("/api/v1/executions/{execution_id}", { params });
same(read.data?.stdout, "42\n");
same(read.data?.timings.cold_reason, made.data.timings.cold_reason);

const listed = await client.GET("/api/v1/executions", { params: { query: { limit: 5 } } });
same(listed.data?.items[0]?.id, made.data.id);

const missing = await client.GET("/api/v1/templates/{name}", { params: { path: { name: "nowhere" } } });
same(missing.response.status, 404);
same(missing.error?.error.code, "unknown_template");
console.log("done");
