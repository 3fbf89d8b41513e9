// One person: what is stored, and everything that can be done with it.
import { api } from "../api.js";
import { confirm, form, problemBox, toast, toastError } from "../dialogs.js";
import { add, field, h } from "../dom.js";
import { date, dateTime, listed, t } from "../i18n.js";
import { icon } from "../icons.js";
import { portrait } from "../portraits.js";
import { coverageRing } from "../ring.js";
import { suggestions } from "../suggest.js";
import { aboutSection } from "./about.js";
import { coverageWords, coveredDirections } from "./people.js";
import { addDropped, addPhotos, takesDrops } from "./photos.js";
import { suggestedSection } from "./suggested.js";

export async function showPerson(page, { rest: name, signal, redraw, session }) {
  const person = await api.person(name, signal);
  const samples = person.views;
  const lastSeen = h("p", { class: "quiet" });
  const agreed = h("div", {});
  showLastSeen(lastSeen, name, signal);
  const mayEnroll = session?.role !== "recognize";
  if (mayEnroll) showConsents(agreed, name, signal);
  const suggested = mayEnroll ? await suggestedSection(name, { signal, session, redraw }).catch((error) => problemBox(error)) : null;
  const covered = coveredDirections(person);
  const scan = h("a", { class: "button primary", href: `#/register?person=${encodeURIComponent(name)}` }, icon("camera"), t("person.scan"));
  const photos = h("button", { class: "button", type: "button", onclick: async () => (await addPhotos(name)) && redraw() }, icon("photo"), t("person.files"));
  add(
    page,
    h("p", {}, h("a", { class: "button plain small", href: "#/people" }, icon("back", 16), t("people.title"))),
    h(
      "header",
      { class: "hero" },
      h("div", { class: "portrait" }, portrait(person, "huge"), coverageRing(covered, coverageWords(covered))),
      h(
        "div",
        { class: "row-text" },
        h("h1", {}, name),
        h("p", { class: "quiet" }, [t("templates.count", { n: person.samples }), coverageWords(covered), person.created_at ? t("person.since", { date: date(new Date(person.created_at)) }) : null].filter(Boolean).join(" · ")),
        lastSeen,
        mayEnroll ? h("div", { class: "actions" }, scan, photos) : null,
      ),
    ),
    person.look_alikes?.length ? h("div", { class: "notice" }, icon("warn"), h("div", {}, t("person.alike", { person: name, others: listed(person.look_alikes) }))) : null,
    h(
      "section",
      { class: "section", "aria-labelledby": "views-heading" },
      h("h2", { id: "views-heading" }, t("person.views")),
      h("p", { class: "help" }, samples.length ? t("person.views.help", { person: name }) : t("person.no_views", { person: name })),
      h("div", { class: "samples" }, samples.map((sample) => figure(name, sample, redraw, mayEnroll))),
    ),
    suggested,
    aboutSection(person, { mayChange: mayEnroll, redraw }),
    agreed,
    mayEnroll ? actions(name) : null,
  );
  if (mayEnroll) takesDrops(page, async (files) => (await addDropped(name, files)) && redraw());
}

async function showLastSeen(line, name, signal) {
  const { entries } = await api.activity({ person: name, limit: 1 }, signal).catch(() => ({ entries: [] }));
  if (entries.length) line.textContent = t("person.last_seen", { when: dateTime(new Date(entries[0].at)) });
}

async function showConsents(place, name, signal) {
  const consents = await api.consents(name, signal).catch(() => []);
  const rows = consents.map(({ given_at: at, recorded_by: by, method, text }) => h("details", { class: "rows" }, h("summary", { class: "row" }, t("person.agreed", { date: date(new Date(at)), by }), method ? ` (${method})` : ""), h("p", { class: "row notes" }, text)));
  if (rows.length) add(place, h("section", { class: "section", "aria-labelledby": "consents-heading" }, h("h2", { id: "consents-heading" }, t("person.consents")), rows));
}

function figure(name, sample, redraw, mayEnroll) {
  const when = sample.created_at ? date(new Date(sample.created_at)) : "";
  const alt = t("person.sample.alt", { person: name, date: when });
  const picture = !sample.picture ? icon("register", 34) : h("img", { src: api.picture(name, sample.id), alt, loading: "lazy" });
  if (picture.tagName === "IMG") picture.addEventListener("error", () => picture.replaceWith(icon("register", 34)));
  const remove = async () => {
    if (!(await confirm({ title: t("person.sample.remove.title"), text: t("person.sample.remove.help", { person: name }), go: t("person.remove"), danger: true }))) return;
    await attempt(() => api.removeSample(name, sample.id), redraw);
  };
  const quality = sample.quality === null ? "" : t("person.sample.quality", { n: Math.round(sample.quality) });
  return h(
    "figure",
    { class: "sample" },
    picture,
    h("figcaption", {}, sample.appearance ? h("div", {}, sample.appearance) : null, quality, sample.partial ? h("div", {}, t("person.partial")) : null),
    mayEnroll ? h("button", { class: "icon-button", type: "button", "aria-label": `${t("person.sample.remove")} (${alt})`, onclick: remove }, icon("close", 16)) : null,
  );
}

function actions(name) {
  const row = (glyph, key, act, bad = false) => h("button", { class: `button ${bad ? "plain bad" : ""}`, type: "button", onclick: act }, icon(glyph), t(key));
  return h(
    "div",
    { class: "card actions" },
    row("edit", "person.rename", () => rename(name)),
    row("merge", "person.merge", () => merge(name)),
    row("download", "person.export", () => attempt(() => api.exportPerson(name))),
    row("trash", "person.erase", () => erase(name), true),
  );
}

async function rename(name) {
  const input = h("input", { type: "text", value: name, required: true, maxlength: 100, autocomplete: "off", autofocus: true, name: "name" });
  const save = async () => {
    const wanted = input.value.trim();
    try {
      return (await api.rename(name, wanted))?.person ?? wanted;
    } catch (error) {
      if (error.code === "person_exists") throw new Error(t("person.rename.taken", { name: wanted }));
      throw error;
    }
  };
  const renamed = await form({ title: t("person.rename.title", { person: name }), fields: field(t("person.rename.new"), input), go: t("person.rename"), save });
  if (!renamed || renamed === name) return;
  toast(t("person.renamed", { old: name, name: renamed }));
  location.hash = `#/people/${encodeURIComponent(renamed)}`;
}

async function merge(name) {
  const target = h("input", { type: "text", required: true, autofocus: true, autocomplete: "off", maxlength: 200, name: "target" });
  const save = async () => (await api.merge(name, target.value.trim())).person;
  const into = await form({ title: t("person.merge.title", { person: name }), text: t("person.merge.help", { person: name }), fields: [field(t("person.merge.target"), target), suggestions(target)], go: t("person.merge.go"), danger: true, save });
  if (!into) return;
  toast(t("person.merged", { person: name, target: into }));
  location.hash = `#/people/${encodeURIComponent(into)}`;
}

async function erase(name) {
  if (!(await confirm({ title: t("person.erase.title", { person: name }), text: t("person.erase.help", { person: name }), go: t("person.erase.go"), danger: true }))) return;
  await attempt(
    () => api.erase(name),
    () => {
      toast(t("person.erased", { person: name }));
      location.hash = "#/people";
    },
  );
}

/** Does something, then goes on; says what went wrong. */
export async function attempt(act, then = () => null) {
  try {
    await act();
  } catch (error) {
    toastError(error);
    return;
  }
  then();
}
