// Activity: who was seen when, newest first, growing while one looks.
import { api } from "../api.js";
import { add, h, put } from "../dom.js";
import { day, t, time } from "../i18n.js";
import { icon } from "../icons.js";
import { portraits } from "../portraits.js";

const AT_ONCE = 100;

export async function showActivity(page, { signal, query }) {
  const state = { person: query.get("person") ?? "", oldest: null };
  const list = h("div", { class: "section", "aria-live": "off" });
  const people = await portraits(signal).catch(() => new Map());
  const chooser = h("select", { "aria-label": t("activity.filter"), onchange: () => show(chooser.value) }, h("option", { value: "" }, t("activity.everybody")), [...people.keys()].map((name) => h("option", { value: name, selected: name === state.person }, name)));
  const more = h("button", { class: "button", type: "button", hidden: true, onclick: () => load() }, t("activity.more"));
  put(
    page,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("activity.title")), h("p", { class: "help" }, t("activity.lead"))), h("div", { class: "actions" }, people.size ? chooser : null)),
    list,
    h("div", { class: "actions" }, more),
  );

  async function show(person) {
    Object.assign(state, { person, oldest: null });
    list.replaceChildren();
    await load();
  }

  async function load() {
    const wanted = { limit: AT_ONCE, ...(state.person && { person: state.person }), ...(state.oldest !== null && { before: state.oldest }) };
    const { entries } = await api.activity(wanted, signal);
    for (const entry of entries) add(rowsOf(list, entry), h("li", {}, row(entry, people)));
    if (entries.length) state.oldest = entries.at(-1).id;
    more.hidden = entries.length < AT_ONCE;
    if (!list.childElementCount) put(list, h("div", { class: "empty" }, icon("activity"), h("h2", {}, t("activity.empty.title")), h("p", {}, t("activity.empty"))));
  }

  await load();
  let waiting = 0;
  const events = api.events();
  const refresh = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => show(state.person), 800);
  };
  for (const kind of ["message", "appeared", "recognized", "changed", "lost"]) events.addEventListener(kind, refresh);
  return {
    cleanup: () => {
      clearTimeout(waiting);
      events.close();
    },
  };
}

/** The list of an entry's day, made where it is not there yet. */
function rowsOf(list, entry) {
  const name = day(new Date(entry.at));
  const last = list.lastElementChild;
  if (last?.dataset.day === name) return last.querySelector("ul");
  const rows = h("ul", { class: "rows" });
  add(list, h("section", { class: "day", "data-day": name }, h("h2", {}, name), rows));
  return rows;
}

function row(entry, people) {
  const known = people.get(entry.person);
  return h(
    "div",
    { class: "row" },
    known?.face() ?? h("span", { class: "face", "aria-hidden": "true" }, entry.person ? [...entry.person][0] : icon("register")),
    h("div", { class: "row-text" }, h("span", {}, words(entry)), h("span", { class: "help" }, place(entry))),
    h("time", { class: "row-value number", datetime: entry.at }, time(new Date(entry.at))),
  );
}

function words({ event, person, previous }) {
  if (event === "lost") return person ? t("activity.left", { person }) : t("activity.stranger.left");
  if (event === "changed" && person) return t("activity.changed", { person, previous });
  return person ? t("activity.seen", { person }) : t("activity.stranger");
}

function place({ source }) {
  return source === "browser" || !source ? t("activity.browser") : t("activity.camera", { name: source });
}
