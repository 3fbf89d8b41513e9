// Naming many photos at once: the server says which faces belong together, one name each, and all of them are stored.
import { api } from "../api.js";
import { problemBox, toast } from "../dialogs.js";
import { add, announce, freshId, h, put } from "../dom.js";
import { number, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { suggestions } from "../suggest.js";
import { dropZone } from "./photos.js";

const MOST = 100;
const MOST_PIXELS = 2_800_000; // of one photo: faces of 100 pixels are large enough
const ALL_PIXELS = 140_000_000; // of all, so that as JPEG they stay well below what one request may have
const JPEG_QUALITY = 0.9;
const AROUND = 0.6; // of a face's size, on each side: hair and chin belong to a picture of a face
const SHOWN_PX = 112;
const AT_ONCE = 8;

/** Fills a place with the whole way from photos to named people; returns what ends it. */
export function groupMany(place, _people, session) {
  const ended = new AbortController();
  const zone = () => dropZone({ text: t("group.drop", { n: MOST }), button: t("files.choose"), multiple: true, take: look, id: "group-input" });
  const mayEnroll = session?.role !== "recognize";

  async function look(files) {
    const chosen = files.slice(0, MOST);
    if (files.length > MOST) toast(t("files.too_many", { n: MOST }), "warn");
    const line = h("p", { role: "status", class: "quiet" }, t("group.working", { n: chosen.length }));
    put(place, h("div", { class: "section" }, h("div", { class: "spinner" }), line));
    try {
      const photos = [];
      for (const file of chosen) photos.push(await shrunk(file, Math.min(MOST_PIXELS, ALL_PIXELS / chosen.length)));
      const answer = await api.groups(photos.map(({ file }) => file), ended.signal);
      await show(answer, photos);
    } catch (error) {
      if (!ended.signal.aborted) put(place, problemBox(error), zone());
    }
  }

  async function show({ groups, ungrouped }, photos) {
    const all = [...groups.map(({ faces }) => faces), ...ungrouped.map((face) => [face])];
    const boxes = new Map();
    for (const face of all.flat()) boxes.set(face.picture, [...(boxes.get(face.picture) ?? []), face.bbox]);
    const cards = [];
    for (const faces of all) cards.push(await groupCard(faces, photos, boxes, { mayEnroll, more: () => tellGo(), signal: ended.signal }));
    const [together, single] = [cards.slice(0, groups.length), cards.slice(groups.length)];
    const report = h("ul", { class: "rows", hidden: true });
    const go = h("button", { class: "button primary large", type: "button", disabled: true, onclick: save });
    const tellGo = () => {
      const named = cards.filter((card) => card.wanted());
      go.disabled = !named.length;
      go.textContent = named.length ? t("group.go", { n: named.reduce((sum, card) => sum + card.faces().length, 0), people: t("people.count", { n: new Set(named.map((card) => card.wanted())).size }) }) : t("group.go.none");
    };

    async function save() {
      go.disabled = true;
      put(report);
      report.hidden = false;
      let stored = 0;
      for (const card of cards.filter((one) => one.wanted())) stored += await card.save(report);
      const words = t("group.result", { n: stored });
      announce(words);
      toast(words, stored ? "check" : "warn");
      report.scrollIntoView({ block: "nearest" });
      tellGo();
    }

    const summary = all.length ? t("group.found", { faces: t("photo.count", { n: all.flat().length }), people: t("people.count", { n: groups.length }) }) : t("photo.none");
    const heading = h("h2", { tabindex: "-1" }, summary);
    put(
      place,
      h(
        "div",
        { class: "section" },
        heading,
        all.length ? h("p", { class: "help" }, t("group.help")) : null,
        h("ul", { class: "groups" }, together.map(({ item }) => item)),
        single.length ? h("details", { class: "inset", open: !together.length }, h("summary", {}, t("group.single", { n: single.length })), h("ul", { class: "groups" }, single.map(({ item }) => item))) : null,
        mayEnroll && cards.length ? h("div", { class: "actions card commit" }, go) : null,
        report,
        zone(),
      ),
    );
    tellGo();
    heading.focus();
  }

  put(place, zone());
  place.addEventListener("photo", (event) => look(event.detail), { signal: ended.signal });
  return () => ended.abort();
}

/** One person, as the server thinks, with a field for the name; faces that do not belong are left out by selecting them. */
async function groupCard(faces, photos, boxes, { mayEnroll, more, signal }) {
  const kept = new Set(faces);
  const name = h("input", { type: "text", maxlength: 100, autocomplete: "off", "aria-label": t("group.name", { faces: t("photo.count", { n: faces.length }) }), placeholder: t("files.person"), oninput: more });
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const fields = [...document.querySelectorAll(".groups input[type=text]")].filter((field) => field.checkVisibility());
    (fields[fields.indexOf(name) + 1] ?? document.querySelector(".groups ~ .actions button"))?.focus();
  });
  const state = h("p", { class: "help" });
  const pictures = [];
  for (const [row, face] of faces.entries()) {
    const image = h("img", { class: "face large", alt: t("photo.face", { n: row + 1 }) });
    const blob = await cropped(face, photos, boxes, SHOWN_PX);
    if (blob) image.src = address(image, blob);
    const pick = h("button", { class: "pick", type: "button", "aria-pressed": "true", title: t("group.leave_out"), onclick: () => toggleFace(pick, face) }, image);
    pictures.push(mayEnroll && faces.length > 1 ? pick : image);
  }
  function toggleFace(pick, face) {
    const on = !kept.has(face);
    if (on) kept.add(face);
    else kept.delete(face);
    pick.setAttribute("aria-pressed", String(on));
    more();
  }
  const card = {
    item: h("li", { class: "card group-card" }, h("div", { class: "strip" }, pictures), mayEnroll ? [name, suggestions(name, signal)] : null, state),
    wanted: () => (card.saved === name.value.trim() || !kept.size ? "" : name.value.trim()),
    faces: () => [...kept],
    async save(report) {
      const person = name.value.trim();
      const outcome = { stored: 0, said: new Map() };
      const files = (await Promise.all(card.faces().map((face) => cropped(face, photos, boxes)))).filter(Boolean);
      try {
        for (let first = 0; first < files.length; first += AT_ONCE) {
          const answer = await api.addSamples(person, files.slice(first, first + AT_ONCE));
          outcome.stored += answer.stored;
          for (const picture of answer.pictures) {
            const words = translated(`outcome.${picture.outcome}`, picture.message) + (picture.rival ? `: ${picture.rival}` : "");
            outcome.said.set(words, (outcome.said.get(words) ?? 0) + 1);
          }
        }
        card.saved = person;
      } catch (error) {
        outcome.said.set(error.message, 1);
      }
      const words = [...outcome.said].map(([said, n]) => `${number(n)} × ${said}`).join(" · ");
      state.textContent = outcome.stored ? t("files.result", { n: outcome.stored, person }) : words;
      add(report, h("li", {}, h("div", { class: "row" }, h("div", { class: "row-text" }, h("a", { href: `#/people/${encodeURIComponent(person)}` }, person), h("span", { class: "help" }, words)), h("span", { class: `badge ${outcome.stored ? "good" : "warn"}` }, icon(outcome.stored ? "check" : "warn"), t("templates.count", { n: outcome.stored })))));
      return outcome.stored;
    },
    saved: null,
  };
  return card;
}

/** Of a picture that is shown until the page is left. */
function address(image, blob) {
  const url = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  return url;
}

/** A photo as it is sent: not larger than it has to be. What this browser cannot read goes as it is. */
async function shrunk(file, most) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return { file, bitmap: null };
  const scale = Math.min(1, Math.sqrt(most / (bitmap.width * bitmap.height)));
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY });
  return { file: new File([blob], `${freshId("photo")}.jpg`, { type: "image/jpeg" }), bitmap: canvas };
}

/** One face of a photo as a picture of its own, with nobody else in it; null where this browser cannot read the photo. */
async function cropped({ picture, bbox: [x1, y1, x2, y2] }, photos, boxes, shownPx = 0) {
  const { file, bitmap } = photos[picture];
  if (!bitmap) return boxes.get(picture).length === 1 && !shownPx ? file : null;
  const around = AROUND * Math.max(x2 - x1, y2 - y1) * (shownPx ? 0.35 : 1);
  const [left, top] = [Math.max(0, Math.floor(x1 - around)), Math.max(0, Math.floor(y1 - around))];
  const [width, height] = [Math.min(bitmap.width, Math.ceil(x2 + around)) - left, Math.min(bitmap.height, Math.ceil(y2 + around)) - top];
  const scale = shownPx ? Math.min(1, (2 * shownPx) / Math.max(width, height)) : 1;
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  if (!shownPx) {
    pen.fillStyle = "#808080";
    for (const [a, b, c, d] of boxes.get(picture)) {
      if (a === x1 && b === y1) continue;
      const [dx, dy] = [0.1 * (c - a), 0.1 * (d - b)];
      if (overlaps([a, b, c, d], [x1, y1, x2, y2])) continue; // more would be lost of this face than is hidden of the other
      pen.fillRect(a - dx - left, b - dy - top, c - a + 2 * dx, d - b + 2 * dy);
    }
  }
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  return new File([blob], `${freshId("face")}.jpg`, { type: "image/jpeg" });
}

const overlaps = ([a, b, c, d], [x1, y1, x2, y2]) => a < x2 && c > x1 && b < y2 && d > y1;
