// People: everybody in the pool, as cards that take dropped photos.
import { api } from "../api.js";
import { add, h, put } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { portrait } from "../portraits.js";
import { coverageRing } from "../ring.js";
import { addDropped, addPhotos, takesDrops } from "./photos.js";

const SEARCH_FROM = 8;

export async function showPeople(page, { signal, redraw, session }) {
  const persons = await api.people(signal);
  const mayEnroll = session?.role !== "recognize";
  const names = persons.map(({ person }) => person);
  const added = (person) => person && redraw();
  const register = h("a", { class: "button primary", href: "#/register" }, icon("plus"), t("people.add"));
  const photos = h("button", { class: "button", type: "button", onclick: async () => added(await addPhotos("", [], names)) }, icon("photo"), t("people.files"));
  const search = h("input", { type: "search", "aria-label": t("people.search"), placeholder: t("people.search"), oninput: () => list() });
  const grid = h("ul", { class: "people" });
  const none = h("p", { class: "quiet", role: "status" });
  const list = () => {
    const wanted = search.value.trim().toLocaleLowerCase();
    const found = persons.filter(({ person }) => person.toLocaleLowerCase().includes(wanted));
    put(grid, found.map((person) => h("li", {}, card(person, added, mayEnroll))));
    none.textContent = found.length ? "" : t("people.none");
  };
  const lead = persons.length ? t("people.lead") : "";
  put(
    page,
    h(
      "div",
      { class: "page-head" },
      h("div", {}, h("h1", {}, t("people.title")), h("p", { class: "help" }, lead)),
      mayEnroll && persons.length ? h("div", { class: "actions" }, photos, register) : null,
    ),
  );
  if (!persons.length) {
    add(page, h("div", { class: "empty" }, icon("people"), h("h2", {}, t("people.empty.title")), h("p", {}, t("people.empty")), mayEnroll ? h("div", { class: "actions" }, register, photos) : null));
  } else {
    add(page, warning(persons), persons.length >= SEARCH_FROM ? h("div", { class: "search" }, icon("search"), search) : null, grid, none);
    list();
  }
  if (mayEnroll) takesDrops(page, async (files) => added(await addPhotos("", files, names)));
}

function warning(persons) {
  const pairs = persons.reduce((sum, person) => sum + person.look_alikes.length, 0) / 2;
  if (!pairs) return null;
  return h("div", { class: "notice" }, icon("warn"), h("div", {}, t("people.warning", { n: pairs })));
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
