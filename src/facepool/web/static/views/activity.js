// Activity: who was there from when to when, newest first, as it happens.
import { api } from "../api.js";
import { toastError } from "../dialogs.js";
import { add, h, put } from "../dom.js";
import { day, t, time, times } from "../i18n.js";
import { icon } from "../icons.js";
import { portraits } from "../portraits.js";
import { suggestions } from "../suggest.js";
import { correctButton } from "./correct.js";

const AT_ONCE = 100;
const REFRESH_AFTER_MS = 500;

export async function showActivity(page, { signal, query, session }) {
  const mayCorrect = session?.role !== "recognize";
  const settings = await api.settings(signal);
  const keeps = settings.keep_recognized || settings.refresh === "suggest";
  const offer = mayCorrect && !keeps ? h("p", { class: "help" }, t("correct.offer"), " ", h("a", { class: "button plain small", href: "#/settings" }, t("correct.offer.go"))) : null;
  const state = { person: query.get("person") ?? "", visits: new Map(), rows: new Map(), all: false };
  const list = h("div", { class: "section", "aria-live": "off" });
  const people = portraits(signal);
  const chooser = h("input", { type: "search", "aria-label": t("activity.filter"), placeholder: t("activity.filter"), autocomplete: "off", value: state.person, onchange: () => show(chooser.value.trim()) });
  const more = h("button", { class: "button", type: "button", hidden: true, onclick: () => load({ before: Math.min(...state.visits.keys()) }) }, t("activity.more"));
  put(
    page,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("activity.title")), h("p", { class: "help" }, t("activity.lead"))), h("div", { class: "search" }, icon("search"), chooser, suggestions(chooser, signal))),
    list,
    h("div", { class: "actions" }, more),
    offer,
  );

  async function show(person) {
    Object.assign(state, { person, visits: new Map(), all: false });
    await load();
  }

  /** Takes in the newest visits, in place of what was known of them, or older ones. */
  async function load(before = {}) {
    const { person } = state;
    const { visits } = await api.visits({ limit: AT_ONCE, ...(person && { person }), ...before }, signal);
    if (person !== state.person) return;
    const whole = visits.length < AT_ONCE;
    if (whole && (before.before || !state.visits.size)) state.all = true;
    if (!before.before) for (const id of state.visits.keys()) if (whole || id >= visits.at(-1).id) state.visits.delete(id);
    for (const visit of visits) state.visits.set(visit.id, visit);
    more.hidden = state.all || !state.visits.size;
    draw();
  }

  /** After a correction; whoever has left the page meanwhile is told nothing. */
  const reload = () => load().catch((error) => signal.aborted || toastError(error));

  /** Puts the rows in order; those that are as before stay as they are. */
  function draw() {
    const rows = new Map();
    const days = new Map();
    for (const visit of [...state.visits.values()].sort((a, b) => b.id - a.id)) {
      const said = JSON.stringify(visit);
      const known = state.rows.get(visit.id);
      const item = known?.said === said ? known.item : h("li", {}, row(visit, people, mayCorrect ? reload : null));
      rows.set(visit.id, { said, item });
      const name = day(new Date(visit.since));
      if (!days.has(name)) days.set(name, h("ul", { class: "rows" }));
      days.get(name).append(item);
    }
    state.rows = rows;
    put(list, [...days].map(([name, items]) => h("section", { class: "day" }, h("h2", {}, name), items)));
    if (!days.size) add(list, h("div", { class: "empty" }, icon("activity"), h("h2", {}, t("activity.empty.title")), h("p", {}, t("activity.empty"))));
  }

  await load();
  let waiting = 0;
  const events = api.events();
  // When it opens, too: something may have happened between the visits that were given and the first event.
  const refresh = () => {
    waiting ||= setTimeout(() => {
      waiting = 0;
      load().catch(() => null); // the next event tries again
    }, REFRESH_AFTER_MS);
  };
  for (const kind of ["open", "message", "appeared", "recognized", "changed", "lost", "unknown_returned"]) events.addEventListener(kind, refresh);
  return {
    cleanup: () => {
      clearTimeout(waiting);
      events.close();
    },
  };
}

function row(visit, people, corrected) {
  const { person, previous, source, since, until, named_at: named, corrected_at: changed } = visit;
  const from = new Date(since);
  const when = until === null ? t("live.since", { time: time(from) }) : times(from, new Date(until));
  const later = changed ? t("activity.corrected") : named ? t("activity.named_later") : null;
  return h(
    "div",
    { class: "row wrap" },
    people.face(person) ?? h("span", { class: "face", "aria-hidden": "true" }, icon("register")),
    h(
      "div",
      { class: "row-text" },
      person ? h("a", { href: `#/people/${encodeURIComponent(person)}` }, person) : h("span", {}, t("stranger")),
      h("span", { class: "help" }, [place(source), previous ? t("activity.changed", { previous }) : null, later].filter(Boolean).join(" · ")),
    ),
    until === null ? h("span", { class: "badge good" }, t("activity.present")) : null,
    h("time", { class: "row-value number", datetime: since }, when),
    corrected ? correctButton({ ...visit, when }, corrected) : null,
  );
}

/** A camera by its name; of a film or a picture, that of its file. */
export function cameraName(source) {
  if (!source || source === "browser") return t("activity.browser");
  return /^(\/|[A-Za-z]:\\)/.test(source) ? source.split(/[\\/]/).at(-1) : source;
}

/** Where somebody was seen, in words. */
export function place(source) {
  const name = cameraName(source);
  return name === t("activity.browser") ? name : t("activity.camera", { name });
}
