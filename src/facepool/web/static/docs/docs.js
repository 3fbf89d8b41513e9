// Shows the description of the REST interface, /openapi.json, as a page to read: nothing is asked of other hosts.

import { add, h } from "../dom.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

const answer = await fetch("../openapi.json");
const described = answer.ok ? await answer.json() : null;

/** The name of something that the description defines once. */
const nameOf = (reference) => reference.split("/").pop();

/** Something of the description, or what it points to. */
const resolved = (part) => (part?.$ref ? part.$ref.split("/").slice(1).reduce((found, key) => found?.[key], described) : part);

/** A schema in one line, with links to those that have a name. */
function typeOf(schema) {
  if (!schema) return "nothing";
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return h("a", { href: `#schema-${name}` }, name);
  }
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices) return choices.map((choice, i) => [i ? " or " : "", typeOf(choice)]);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return ["list of ", typeOf(schema.items ?? {})];
  if (schema.type === "object" && schema.additionalProperties) return ["map of names to ", typeOf(schema.additionalProperties)];
  return [schema.type ?? "anything", schema.format || schema.contentMediaType ? ` (${schema.format ?? schema.contentMediaType})` : ""];
}

/** What a value may be at most, at least, and by default. */
function boundsOf(schema) {
  const words = [["minimum", "from"], ["exclusiveMinimum", "above"], ["maximum", "to"], ["exclusiveMaximum", "below"]];
  const bounds = words.filter(([key]) => schema[key] !== undefined).map(([key, word]) => `${word} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) bounds.push(`default ${JSON.stringify(schema.default)}`);
  return bounds.join(", ");
}

function row(name, schema, required, description) {
  const bounds = boundsOf(schema);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, h("code", {}, name), required ? h("span", { class: "required" }, " required") : null),
    h("td", {}, typeOf(schema), bounds ? h("div", { class: "help" }, bounds) : null),
    h("td", {}, description ?? schema.description ?? ""),
  );
}

const table = (caption, rows) => (rows.length ? h("table", {}, h("caption", {}, caption), h("tbody", {}, rows)) : null);

/** The fields of an object, one a row. */
function fields(caption, schema) {
  const required = new Set(schema.required ?? []);
  return table(caption, Object.entries(schema.properties ?? {}).map(([name, field]) => row(name, field, required.has(name))));
}

const contents = (content) => Object.entries(content ?? {}).map(([kind, { schema }]) => h("p", {}, h("code", {}, kind), " ", typeOf(schema)));

/** What is sent, with its fields. */
function bodies(content) {
  return Object.entries(content).map(([kind, { schema }]) => [contents({ [kind]: { schema } }), fields("Fields", resolved(schema) ?? {})]);
}

/** What to type in a terminal. */
function example(method, path, operation) {
  const kinds = Object.keys(operation.requestBody?.content ?? {});
  const form = operation.requestBody?.content["multipart/form-data"];
  const body = form ? ` -F ${Object.keys(resolved(form.schema).properties ?? {})[0] ?? "file"}=@photo.jpg` : kinds.length ? ` -H 'Content-Type: ${kinds[0]}' -d @body` : "";
  return `curl -X ${method.toUpperCase()} -H 'x-api-key: KEY'${body} '${new URL(`..${path}`, location.href).href}'`;
}

function operationOf(method, path, operation, shared) {
  const parameters = [...(shared ?? []), ...(operation.parameters ?? [])];
  const answers = Object.entries(operation.responses ?? {}).map(([status, given]) => {
    const { description, content } = resolved(given);
    return h("tr", {}, h("th", { scope: "row" }, status), h("td", {}, description), h("td", {}, contents(content)));
  });
  return h(
    "details",
    { id: operation.operationId, class: "operation" },
    h("summary", {}, h("span", { class: `method ${method}` }, method.toUpperCase()), h("code", {}, path), h("span", {}, operation.summary ?? "")),
    h("p", { class: "prose" }, operation.description ?? ""),
    table("Parameters", parameters.map((given) => row(given.name, given.schema ?? {}, given.required, `${given.description ?? ""} (${given.in})`))),
    operation.requestBody ? [h("h4", {}, "Body"), bodies(operation.requestBody.content)] : null,
    table("Answers", answers),
    h("pre", {}, example(method, path, operation)),
  );
}

/** Operations by tag, in the order of the description. */
function byTag(paths) {
  const groups = new Map();
  for (const [path, item] of Object.entries(paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = item[method].tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operationOf(method, path, item[method], item.parameters)]);
    }
  }
  return groups;
}

function show() {
  const schemas = described.components?.schemas ?? {};
  const groups = byTag(described.paths);
  const links = [...groups.keys(), "schemas"].map((tag) => h("a", { href: `#tag-${tag}` }, tag));
  const sections = [...groups].map(([tag, operations]) => h("section", { id: `tag-${tag}` }, h("h2", {}, tag), operations));
  const shapes = Object.entries(schemas).map(([name, schema]) =>
    h("details", { id: `schema-${name}`, class: "operation" }, h("summary", {}, h("code", {}, name)), h("p", { class: "prose" }, schema.description ?? ""), fields("Fields", schema) ?? typeOf(schema)),
  );
  add(
    document.getElementById("docs"),
    h("header", {}, h("h1", {}, `${described.info.title} ${described.info.version}`), h("p", {}, described.info.description), h("p", {}, "Keys go into the header ", h("code", {}, "x-api-key"), ". The same for programs: ", h("a", { href: "../openapi.json" }, "openapi.json"))),
    h("nav", { "aria-label": "Sections" }, links),
    sections,
    h("section", { id: "tag-schemas" }, h("h2", {}, "schemas"), shapes),
  );
}

/** Opens what the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
  named?.scrollIntoView();
}

if (described) show();
else add(document.getElementById("docs"), `The description cannot be read: ${answer.status} ${answer.statusText}`);
openNamed();
addEventListener("hashchange", openNamed);
