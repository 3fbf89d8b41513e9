// Registers and recognizes with the types that openapi-typescript makes of the server's description: it compiles only
// if they are right. Called with the server's address, a key, and the file of a picture.

import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [address, key, file] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: address, headers: { "x-api-key": key } });
const data = await readFile(file);

function form(body: unknown): FormData {
  const sent = new FormData();
  for (const blob of Object.values(body as Record<string, Blob[]>).flat()) sent.append("files", blob, "photo.png");
  return sent;
}

const registered = await client.POST("/v1/persons/{name}/samples", {
  params: { path: { name: "Ada/Bea" }, query: { force: false } },
  body: { pictures: [{ name: "photo.png", data: data.toString("base64") }] },
});
const stored: number | undefined = registered.data?.stored;

const picture = new Blob([data], { type: "image/png" }) as unknown as string; // OpenAPI calls a file a string
const recognized = await client.POST("/v1/recognize", { body: { files: [picture] }, bodySerializer: form });
const face = recognized.data?.pictures[0]?.faces[0];
const reason: components["schemas"]["NamedFace"]["reason"] | undefined = face?.reason;

const refused = await client.GET("/v1/persons/{name}", { params: { path: { name: "Nobody" } } });
const code: string | undefined = refused.error?.code;

const other = await client.POST("/api/v1/recognition/recognize", {
  body: { file: data.toString("base64") },
});
const subjects = other.data?.result[0]?.subjects.map((one) => one.subject);

console.log(JSON.stringify({ stored, person: face?.person, reason, code, subjects }));
