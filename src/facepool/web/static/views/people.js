// People: everybody in the pool, as cards that take dropped photos.
import { api } from "../api.js";
import { toastError } from "../dialogs.js";
import { add, h, put } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { portrait } from "../portraits.js";
import { coverageRing } from "../ring.js";
import { addDropped, addPhotos, takesDrops } from "./photos.js";

const SEARCH_FROM = 8;
const AT_ONCE = 60;
const PAUSE_MS = 150;

export async function showPeople(page, { signal, redraw, session, query }) {
  const tag = query.get("tag") ?? "";
  const first = await api.people({ limit: AT_ONCE, tag }, signal);
  const mayEnroll = session?.role !== "recognize";
  const added = (person) => person && redraw();
  const register = h("a", { class: "button primary", href: "#/register" }, icon("plus"), t("people.add"));
  const photos = h("button", { class: "button", type: "button", onclick: async () => added(await addPhotos()) }, icon("photo"), t("people.files"));
  put(
    page,
    h(
      "div",
      { class: "page-head" },
      h("div", {}, h("h1", {}, t("people.title")), h("p", { class: "help" }, first.total ? t("people.lead") : "")),
      mayEnroll && first.total ? h("div", { class: "actions" }, photos, register) : null,
    ),
  );
  if (mayEnroll) takesDrops(page, async (files) => added(await addPhotos("", files)));
  if (!first.total && !tag) {
    add(page, h("div", { class: "empty" }, icon("people"), h("h2", {}, t("people.empty.title")), h("p", {}, t("people.empty")), mayEnroll ? h("div", { class: "actions" }, register, photos) : null));
    return undefined;
  }
  const list = endlessList({ signal, tag, draw: (person) => card(person, added, mayEnroll) });
  const alike = h("div", { class: "notice", hidden: true });
  const only = tag ? h("p", {}, t("people.tag"), " ", h("span", { class: "badge" }, tag), " ", h("a", { class: "button plain small", href: "#/people" }, t("people.all"))) : null;
  add(page, alike, only, first.total >= SEARCH_FROM ? list.search : null, list.status, list.grid, list.more);
  list.show(first);
  warn(alike, signal);
  return { cleanup: list.stop };
}

/** People, page after page as one scrolls, or those whose names begin with what is typed. */
function endlessList({ signal, tag, draw }) {
  const state = { asked: { tag }, next: null, busy: false };
  const grid = h("ul", { class: "people" });
  const status = h("p", { class: "quiet number", role: "status" });
  const more = h("button", { class: "button", type: "button", hidden: true, onclick: () => follow() }, t("people.more"));
  const field = h("input", { type: "search", "aria-label": t("people.search"), placeholder: t("people.search"), autocomplete: "off", oninput: () => soon() });
  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, PAUSE_MS);
  };

  function show({ persons, next, total }, { further = false } = {}) {
    if (!further) put(grid);
    add(grid, persons.map((person) => h("li", {}, draw(person))));
    state.next = next;
    more.hidden = next === null;
    status.textContent = total ? t("people.count", { n: total }) : t("people.none");
    watcher.unobserve(more); // an observer speaks once of what stays in view, and again of what it begins to observe
    if (next !== null) watcher.observe(more);
  }

  async function find() {
    const typed = field.value.trim();
    for (const asked of [{ prefix: typed, tag }, { search: typed, tag }]) { // a surname is found by the second
      state.asked = asked;
      const found = await answer({});
      if (!found || field.value.trim() !== typed) return;
      if (found.total || !asked.prefix) return show(found);
    }
  }

  /** A page of what is looked for; null where it cannot be had, which is told. */
  async function answer(from) {
    try {
      return await api.people({ ...state.asked, ...from, limit: AT_ONCE }, signal);
    } catch (error) {
      if (!signal.aborted) toastError(error);
      return null;
    }
  }

  async function follow() {
    if (state.busy || state.next === null) return;
    state.busy = true;
    const { asked } = state;
    const found = await answer({ after: state.next });
    state.busy = false;
    if (found && asked === state.asked) show(found, { further: true });
  }

  const watcher = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && follow(), { rootMargin: "600px" });
  const stop = () => {
    clearTimeout(waiting);
    watcher.disconnect();
  };
  return { grid, status, more: h("div", { class: "actions" }, more), search: h("div", { class: "search" }, icon("search"), field), show, stop };
}

/** Says how many pairs look alike, once that is known. */
async function warn(notice, signal) {
  const pairs = await api.pool(signal).then((pool) => pool.look_alikes.length, () => 0);
  if (!pairs) return;
  put(notice, icon("warn"), h("div", {}, t("people.warning", { n: pairs })));
  notice.hidden = false;
}

function card(person, added, mayEnroll) {
  const { person: name, samples, look_alikes: alike } = person;
  const covered = coveredDirections(person);
  const link = h(
    "a",
    { class: "person", href: `#/people/${encodeURIComponent(name)}` },
    h("span", { class: "portrait" }, portrait(person, "large"), coverageRing(covered, coverageWords(covered))),
    h("div", {}, h("h2", {}, name), h("p", { class: "quiet" }, t("templates.count", { n: samples }))),
    alike.length ? h("span", { class: "badge warn", title: t("person.alike", { person: name, others: alike.join(", ") }) }, icon("warn"), t("people.look_alikes")) : null,
  );
  if (mayEnroll) takesDrops(link, async (files) => added(await addDropped(name, files)));
  return link;
}

/** Whether each direction of the ring is covered by what is stored. */
export function coveredDirections({ ring }) {
  const covered = [];
  for (const { direction, quality } of ring) covered[direction] ||= quality !== null;
  return covered;
}

export const coverageWords = (covered) => t("people.coverage", { done: covered.filter(Boolean).length, all: covered.length });
