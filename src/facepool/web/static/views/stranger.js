// One stranger: when and where they were seen, which faces belong to somebody else, and what becomes of them.
import { api } from "../api.js";
import { confirm, toastError } from "../dialogs.js";
import { add, h, put } from "../dom.js";
import { canBeDragged, peopleShelf } from "../drag.js";
import { day, listed, number, t, time, times } from "../i18n.js";
import { icon } from "../icons.js";
import { addStranger, nameStranger, strangerName } from "../naming.js";
import { done, takeBackLast } from "../undo.js";
import { cameraName, place } from "./activity.js";

const WEEK_MS = 6 * 86_400_000;
const FACES_OF_A_TIME = 6;

/** "5 times since Monday", or when it was, if it was once. */
export function timesWords({ sightings, since }) {
  const from = new Date(since);
  const name = day(from);
  if (sightings === 1) return t("unknown.once", { when: `${day(from, { day: "numeric", month: "short" })}, ${time(from)}` });
  if (name === t("day.today")) return t("unknown.times.today", { n: sightings });
  if (name === t("day.yesterday")) return t("unknown.times.yesterday", { n: sightings });
  const recent = Date.now() - from.getTime() < WEEK_MS;
  return t("unknown.times", { n: sightings, when: day(from, recent ? { weekday: "long" } : { day: "numeric", month: "long" }) });
}

/** Before which cameras, in few words. */
export const placesOf = ({ sources }) => listed(sources.map(cameraName));

export async function showStranger(page, { rest, signal, session, redraw }) {
  const group = await api.stranger(rest, signal);
  const mayChange = session?.role !== "recognize";
  const stranger = strangerName(group.id);
  const chosen = new Set();
  const bar = h("div", { class: "card chosen", role: "group", "aria-label": t("unknown.split.bar"), hidden: true });
  const rows = await Promise.all(group.times.map((seen) => timeRow(seen, { group, chosen, mayChange, choose, signal })));
  const ignored = group.state === "ignored";
  const button = (glyph, key, act, kind = "") => h("button", { class: `button ${kind}`, type: "button", onclick: act }, icon(glyph), t(key));
  const plain = (key, act, kind = "") => h("button", { class: `button ${kind}`, type: "button", onclick: act }, t(key));
  const home = () => (location.hash = ignored ? "#/unknown?state=ignored" : "#/unknown");
  put(
    page,
    h("p", {}, h("a", { class: "button plain small", href: ignored ? "#/unknown?state=ignored" : "#/unknown" }, icon("back", 16), t("unknown.title"))),
    h(
      "header",
      { class: "hero" },
      group.faces.length ? h("img", { class: "face huge", src: api.facePicture(group.faces[0]), alt: "" }) : null,
      h(
        "div",
        { class: "row-text" },
        h("h1", {}, stranger),
        h("p", { class: "quiet" }, [timesWords(group), placesOf(group), ignored ? t("unknown.kind.ignored") : null].filter(Boolean).join(" · ")),
        group.looks_like.length ? h("p", { class: "quiet" }, group.looks_like.map(({ person, similarity }) => t("unknown.alike", { person, value: number(similarity, 2) })).join(" ")) : null,
        mayChange
          ? h(
              "div",
              { class: "actions" },
              button("edit", "unknown.name.go", name, "primary"),
              ignored ? button("unknown", "unknown.watch", () => change(() => api.changeStranger(group.id, "watch"), t("unknown.watched", { stranger }))) : button("hide", "unknown.ignore", () => change(() => api.changeStranger(group.id, "ignore"), t("unknown.ignored", { stranger }))),
              button("trash", "unknown.delete", remove, "plain bad"),
            )
          : null,
      ),
    ),
    h("section", { class: "section", "aria-labelledby": "times-heading" }, h("h2", { id: "times-heading" }, t("unknown.seen")), mayChange && rows.length > 1 ? h("p", { class: "help" }, t("unknown.split.help")) : null, h("ul", { class: "rows" }, rows.map((row) => h("li", {}, row)))),
    bar,
  );

  function choose(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    bar.hidden = !chosen.size;
    put(
      bar,
      h("p", { role: "status" }, t("unknown.chosen", { n: chosen.size })),
      h("button", { class: "icon-button", type: "button", "aria-label": t("unknown.sightings.delete"), title: t("unknown.sightings.delete"), onclick: removeChosen }, icon("trash")),
      h(
        "div",
        { class: "actions" },
        chosen.size < rows.length ? plain("unknown.split", split) : null,
        chosen.size < rows.length ? plain("unknown.split.name", nameChosen, "primary") : null,
      ),
    );
  }

  async function attempt(act) {
    try {
      await act();
    } catch (error) {
      toastError(error);
    }
  }
  const change = (send, words) =>
    attempt(async () => {
      const answer = await send();
      done(words, [answer?.undo], () => (location.hash.startsWith("#/unknown") ? redraw() : null));
      home();
    });
  async function name() {
    if (await nameStranger(group, redraw)) home();
  }
  async function remove() {
    if (await confirm({ title: t("unknown.delete.title", { stranger }), text: t("unknown.delete.help"), go: t("unknown.delete"), danger: true })) await change(() => api.deleteStranger(group.id), t("unknown.deleted", { stranger }));
  }
  const splitOff = (ids) => api.changeStranger(group.id, "split", { sightings: ids });
  const split = () =>
    attempt(async () => {
      const { id: made, undo } = await splitOff([...chosen]);
      done(t("unknown.split.done", { stranger: strangerName(made) }), [undo], redraw);
      redraw();
    });
  /** The chosen ones become a stranger of their own, who is named at once. */
  const nameChosen = () =>
    attempt(async () => {
      const { id: made, undo } = await splitOff([...chosen]);
      const apart = await api.stranger(made);
      if (!(await nameStranger(apart, redraw, "", [undo]))) await api.undo(undo);
      redraw();
    });
  const removeChosen = async () => {
    if (!(await confirm({ title: t("unknown.sightings.delete.title", { n: chosen.size }), text: t("unknown.sightings.delete.help"), go: t("unknown.sightings.delete"), danger: true }))) return;
    await attempt(async () => {
      const gone = chosen.size === rows.length;
      for (const id of chosen) await api.deleteSighting(id);
      if (gone) home();
      else redraw();
    });
  };
  /** A face that is dropped on somebody takes its sighting with it. */
  const give = (person, { sightings }) =>
    attempt(async () => {
      if (!sightings || rows.length === 1) {
        if (await addStranger(group, person, redraw)) home();
        return;
      }
      const { id, undo } = await splitOff(sightings);
      const apart = await api.stranger(id);
      if (!(await addStranger(apart, person, redraw, [undo]))) await api.undo(undo);
      redraw();
    });
  if (!mayChange) return;
  addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "z" || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.target.closest("input:not([type=checkbox]), select")) return;
      event.preventDefault();
      takeBackLast(redraw);
    },
    { signal },
  );
  const shelf = await peopleShelf(give, signal);
  if (shelf) page.querySelector(".hero").after(shelf);
}

/** When it was, before which camera, and the faces that were kept of it. */
async function timeRow(seen, { group, chosen, mayChange, choose, signal }) {
  const faces = (seen.faces ?? (await api.sighting(seen.id, signal)).faces).map((face) => face.id ?? face);
  const [from, to] = [new Date(seen.since), new Date(seen.until)];
  const when = `${day(from)}, ${from.getTime() === to.getTime() ? time(from) : times(from, to)}`;
  const pictures = faces.slice(0, FACES_OF_A_TIME).map((face, row) => {
    const image = h("img", { class: "face large", src: api.facePicture(face), alt: row ? "" : t("unknown.time.alt", { when }), loading: "lazy" });
    return mayChange ? canBeDragged(image, { group, sightings: [seen.id] }) : image;
  });
  const box = mayChange && group.times.length > 1 ? h("input", { type: "checkbox", checked: chosen.has(seen.id), onchange: () => choose(seen.id, box.checked) }) : null;
  const label = h("label", { class: "row wrap time" }, box, h("div", { class: "row-text" }, h("span", {}, when), h("span", { class: "help" }, place(seen.source))));
  return add(label, h("div", { class: "strip" }, pictures));
}
