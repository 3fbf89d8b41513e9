// Try a photo: who is in it and how sure that is, or whether two photos show one person.
import { api } from "../api.js";
import { problemBox } from "../dialogs.js";
import { announce, h, put, segments } from "../dom.js";
import { number, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { drawLabels } from "../overlay.js";
import { portraits } from "../portraits.js";
import { groupMany } from "./grouping.js";
import { addPhotos, dropZone, imagesOf, takesDrops } from "./photos.js";

const CROWD = 8; // from more faces on, only those who are known are named in the picture

const MODES = { recognize: recognizeOne, verify: compareTwo, group: groupMany };

export async function showPhoto(page, { signal, session }) {
  const place = h("div", {});
  const state = { mode: "recognize", leave: () => null };
  const show = (mode) => {
    state.leave();
    state.mode = mode;
    state.leave = MODES[mode](place, people, session) ?? (() => null);
  };
  put(
    page,
    h(
      "div",
      { class: "page-head" },
      h("div", {}, h("h1", {}, t("photo.title")), h("p", { class: "help" }, t("photo.lead"))),
      h("a", { class: "button", href: "#/check" }, icon("live"), t("check.title")),
      segments(t("photo.mode"), Object.keys(MODES).map((mode) => [mode, t(`photo.mode.${mode}`)]), state.mode, show),
    ),
    place,
  );
  const people = portraits(signal);
  const pasted = (event) => {
    const files = imagesOf(event.clipboardData?.files);
    if (files.length) state.take?.(files);
  };
  state.take = (files) => place.dispatchEvent(new CustomEvent("photo", { detail: files }));
  addEventListener("paste", pasted);
  show(state.mode);
  return {
    cleanup: () => {
      removeEventListener("paste", pasted);
      state.leave();
    },
  };
}

function recognizeOne(place, people, session) {
  const ended = new AbortController();
  const view = h("div", { class: "view" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const found = h("div", { class: "found", "aria-live": "polite" });
  const zone = () => dropZone({ text: t("photo.drop"), button: t("photo.choose"), multiple: false, take: look, id: "photo-input" });
  const shown = { size: null, labels: [], file: null };
  const draw = () => drawLabels(canvas, shown.size, shown.labels);
  const watcher = new ResizeObserver(draw);

  async function look([file]) {
    const image = h("img", { alt: t("photo.alt"), src: URL.createObjectURL(file) });
    Object.assign(shown, { size: null, labels: [], file });
    put(view, image, canvas);
    watcher.observe(canvas);
    put(found, h("div", { class: "spinner", role: "status", "aria-label": t("loading") }));
    put(place, h("div", { class: "photo" }, h("div", {}, view), h("div", { class: "found" }, found, zone())));
    try {
      const began = performance.now();
      const answer = await api.recognize(file);
      const [{ faces, width, height }] = answer.pictures;
      shown.size = [width, height];
      shown.labels = faces.map((face, index) => labelOf(face, numberOf(index, faces), faces.length > CROWD));
      draw();
      const took = t("photo.took", { n: Math.round(performance.now() - began) });
      put(found, h("h2", {}, faces.length ? `${t("photo.count", { n: faces.length })} ` : t("photo.none"), h("span", { class: "quiet" }, took)), faces.map((face, index) => linked(faceCard(face, people, numberOf(index, faces)), index)));
      if (session?.role !== "recognize" && faces.length === 1) found.append(h("button", { class: "button", type: "button", onclick: () => addPhotos(faces[0].person ?? "", [file]) }, icon("plus"), t("photo.register")));
    } catch (error) {
      put(found, problemBox(error));
    }
  }

  /** Shows which box a card belongs to, while one points at it. */
  function linked(card, index) {
    const mark = (on) => {
      shown.labels[index].marked = on;
      draw();
    };
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) card.addEventListener(event, () => mark(on));
    return card;
  }

  put(place, zone());
  place.addEventListener("photo", (event) => look(event.detail), { signal: ended.signal });
  takesDrops(view, look);
  return () => {
    ended.abort();
    watcher.disconnect();
  };
}

/** The number that a box and its card share; none where there is one face only. */
const numberOf = (index, faces) => (faces.length > 1 ? number(index + 1) : "");

function labelOf(face, numbered, crowded) {
  const kind = face.person ? "known" : "unknown";
  const detail = face.similarity === null ? "" : number(face.similarity, 2);
  return { box: face.bbox, number: numbered, text: face.person ?? (crowded ? "" : t("stranger")), detail, kind, optional: !face.person };
}

function faceCard(face, people, numbered) {
  const [, second] = face.candidates ?? [];
  return h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "row" },
      numbered ? h("span", { class: `box-number ${face.person ? "known" : "unknown"}`, "aria-label": t("photo.face", { n: numbered }) }, numbered) : null,
      people.face(face.person) ?? h("span", { class: "face" }, icon("register")),
      h("div", { class: "row-text" }, face.person ? h("a", { href: `#/people/${encodeURIComponent(face.person)}` }, face.person) : h("strong", {}, t("stranger")), h("span", { class: "help" }, translated(`reason.${face.reason}`, face.reason))),
    ),
    face.similarity === null ? null : meter(face.similarity, face.threshold),
    second ? h("p", { class: "help" }, t("photo.runner_up", { person: second.person, value: number(second.similarity, 2) })) : null,
  );
}

/** A similarity against what it takes. */
export function meter(similarity, threshold) {
  const fill = h("i", {});
  const line = h("b", {});
  fill.style.width = `${Math.max(0, Math.min(1, similarity)) * 100}%`;
  line.style.left = `${Math.max(0, Math.min(1, threshold)) * 100}%`;
  return h(
    "div",
    { class: "meter" },
    h("div", {}, h("span", {}, t("photo.similarity", { value: number(similarity, 2) })), h("span", { class: "quiet" }, t("photo.threshold", { value: number(threshold, 2) }))),
    h("div", { class: `bar ${similarity >= threshold ? "match" : ""}`, "aria-hidden": "true" }, fill, line),
  );
}

function compareTwo(place) {
  const ended = new AbortController();
  const files = [null, null];
  const result = h("div", { "aria-live": "polite" });
  const slots = [0, 1].map((index) => h("div", {}));

  const fill = (index) => {
    const take = ([file, ...rest]) => {
      files[index] = file;
      if (rest.length && index === 0) files[1] = rest[0];
      [0, 1].forEach(fill);
      compare();
    };
    const heading = t(index ? "photo.second" : "photo.first");
    const zone = dropZone({ text: files[index] ? "" : heading, button: files[index] ? t("photo.another") : t("photo.choose"), multiple: index === 0, take, id: `photo-${index}` });
    if (files[index]) {
      const image = h("img", { src: URL.createObjectURL(files[index]), alt: heading });
      zone.querySelector(".icon").replaceWith(image);
    }
    put(slots[index], zone);
  };

  async function compare() {
    if (!files[0] || !files[1]) return;
    put(result, h("div", { class: "spinner", role: "status", "aria-label": t("loading") }));
    try {
      const answer = await api.verify(files[0], files[1]);
      const words = t(answer.match ? "photo.verify.same" : "photo.verify.different");
      announce(words);
      put(result, h("section", { class: "card form" }, h("h2", {}, h("span", { class: `badge ${answer.match ? "good" : "warn"}` }, icon(answer.match ? "check" : "warn")), " ", words), meter(answer.similarity, answer.threshold), answer.meaning ? h("p", { class: "help" }, answer.meaning) : null));
    } catch (error) {
      put(result, problemBox(error));
    }
  }

  [0, 1].forEach(fill);
  put(place, h("div", { class: "form" }, h("div", { class: "two" }, slots), result));
  place.addEventListener("photo", ({ detail }) => {
    const index = files[0] ? 1 : 0;
    files[index] = detail[0];
    fill(index);
    compare();
  }, { signal: ended.signal });
  return () => ended.abort();
}
