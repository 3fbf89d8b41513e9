// The server's REST interface, as the page uses it. Errors carry words for people in the page's language.
import { errorWords, t } from "./i18n.js";

const SESSION = "v1/session";

export class ApiError extends Error {
  constructor(status, { code = "", message = "", why = "", fix = "" } = {}) {
    const own = [message, why].filter(Boolean).join(": ") + (fix ? `. ${fix}` : "");
    const { words, detail } = errorWords(code, own);
    super(words);
    Object.assign(this, { status, code, detail });
  }
}

const CLOSED = { 4401: "key_unknown", 4403: "forbidden", 4409: "space_mismatch", 4428: "liveness_needed", 1013: "server_busy" };

/** Why the server has closed a WebSocket: {code, reason} of the event. */
export function closedError({ code, reason }) {
  const why = code === 1006 ? "offline" : (CLOSED[code] ?? "closed");
  return Object.assign(new ApiError(0, { code: why, message: reason }), { title: t("socket.closed.title") });
}

let signedOut = () => {};
/** What to do when the server wants a key. */
export function onSignedOut(callback) {
  signedOut = callback;
}

let collection = "";
/** From now on, speak of the people of one collection; empty: of those of the default one, or the key's own. */
export function chooseCollection(name) {
  collection = name;
}

/** The address of something of this server; the page may lie below a path of a proxy. */
export function address(path) {
  const found = new URL(path, document.baseURI);
  if (collection) found.searchParams.set("collection", collection);
  return found.href;
}
const encoded = encodeURIComponent;

async function send(method, path, { json, form, signal, live } = {}) {
  const headers = { Accept: "application/json" };
  if (live) headers["Facepool-Liveness"] = live;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path), { method, headers, signal, body: form ?? (json === undefined ? undefined : JSON.stringify(json)), credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "offline" });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401 && path !== SESSION) signedOut();
  throw new ApiError(response.status, { ...problem, code: problem.code || codeOf(response.status) });
}

const codeOf = (status) => ({ 403: "forbidden", 413: "too_large", 429: "rate_limited", 503: "server_busy" })[status] ?? "";

async function get(path, signal) {
  return (await send("GET", path, { signal })).json();
}

async function change(method, path, body) {
  const response = await send(method, path, body);
  return response.status === 204 ? null : response.json();
}

/** Saves what the server gives under a name. */
async function download(path, name) {
  const blob = await (await send("GET", path)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function pictures(name, files) {
  const form = new FormData();
  for (const file of files) form.append(name, file, file.name || "photo.jpg");
  return form;
}

/** A question as it stands behind an address; what is empty is left out, lists are repeated. */
function question(parts) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) for (const one of [value].flat()) if (one || one === 0) asked.append(name, one);
  return asked;
}

export const api = {
  session: () => get(SESSION),
  signIn: (key) => change("POST", SESSION, { json: { key } }),
  signOut: () => change("DELETE", SESSION),

  people: (asked, signal) => get(`v1/persons?${question(asked)}`, signal),
  person: (name, signal) => get(`v1/persons/${encoded(name)}`, signal),
  rename: (name, to) => change("PATCH", `v1/persons/${encoded(name)}`, { json: { person: to } }),
  merge: (name, into) => change("POST", `v1/persons/${encoded(name)}/merge`, { json: { into } }),
  erase: (name) => change("DELETE", `v1/persons/${encoded(name)}`),
  samples: (name, signal) => get(`v1/persons/${encoded(name)}/samples`, signal),
  addSamples: (name, files, consent = false) => change("POST", `v1/persons/${encoded(name)}/samples${consent ? "?consent=true" : ""}`, { form: pictures("files", files) }),
  consents: (name, signal) => get(`v1/persons/${encoded(name)}/consents`, signal),
  removeSample: (name, id) => change("DELETE", `v1/persons/${encoded(name)}/samples/${id}`),
  picture: (name, id) => address(`v1/persons/${encoded(name)}/samples/${id}/picture`),
  exportPerson: (name) => download(`v1/persons/${encoded(name)}/export`, `${name}.zip`),

  recognize: (file) => change("POST", "v1/recognize", { form: pictures("file", [file]) }),
  verify: (one, other) => {
    const form = new FormData();
    form.append("first", one);
    form.append("second", other);
    return change("POST", "v1/verify", { form });
  },

  recognizeLive: (live) => change("POST", "v1/recognize", { live }),
  verifyLive: (live, file) => change("POST", "v1/verify", { live, form: pictures("file", [file]) }),

  describe: (name, about) => change("PATCH", `v1/persons/${encoded(name)}`, { json: about }),

  unknown: (asked, signal) => get(`v1/unknown?${question(asked)}`, signal),
  stranger: (id, signal) => get(`v1/unknown/${id}`, signal),
  changeStranger: (id, what, json = {}) => change("POST", `v1/unknown/${id}/${what}`, { json }),
  deleteStranger: (id) => change("DELETE", `v1/unknown/${id}`),
  forgetUnknown: () => change("DELETE", "v1/unknown"),
  facePicture: (id) => address(`v1/faces/${encoded(id)}/picture`),
  sightings: (asked, signal) => get(`v1/sightings?${question(asked)}`, signal),
  sighting: (id, signal) => get(`v1/sightings/${encoded(id)}`, signal),
  correct: (id, wish) => change("POST", `v1/sightings/${encoded(id)}/correct`, { json: wish }),
  deleteSighting: (id) => change("DELETE", `v1/sightings/${encoded(id)}`),
  undoable: (signal) => get("v1/undo", signal),
  undo: (number) => change("POST", `v1/undo/${number}`),
  suggestions: (person, signal) => get(`v1/suggestions?${question({ person })}`, signal),
  answerSuggestion: (id, answer) => change("POST", `v1/suggestions/${encoded(id)}/${answer}`),
  takeBackSuggestions: (person) => change("POST", "v1/suggestions/take-back", { json: { person } }),
  groups: (files, signal) => change("POST", "v1/groups", { form: pictures("files", files), signal }),
  collections: (signal) => get("v1/collections", signal),

  pool: (signal) => get("v1/pool", signal),
  exportPool: (name) => download("v1/pool/export", name),
  importPool: (file) => change("POST", "v1/pool/import", { form: pictures("file", [file]) }),
  calibrate: () => change("POST", "v1/pool/calibrate"),
  settings: (signal) => get("v1/settings", signal),
  changeSettings: (changes) => change("PATCH", "v1/settings", { json: changes }),
  system: (signal) => get("v1/system", signal),

  activity: (query, signal) => get(`v1/activity?${new URLSearchParams(query)}`, signal),
  visits: (query, signal) => get(`v1/activity/visits?${new URLSearchParams(query)}`, signal),
  audit: (signal) => get("v1/audit", signal),
  events: () => new EventSource(address("v1/events")),
  keys: (signal) => get("v1/keys", signal),
  addKey: (name, role) => change("POST", "v1/keys", { json: { name, role } }),
  removeKey: (name) => change("DELETE", `v1/keys/${encoded(name)}`),
  cameras: (signal) => get("v1/cameras", signal),
  addCamera: (camera) => change("POST", "v1/cameras", { json: camera }),
  removeCamera: (id) => change("DELETE", `v1/cameras/${encoded(id)}`),
  cameraPicture: (id) => address(`v1/cameras/${encoded(id)}/picture`),
};
