// Adding people from photos: chosen or dropped, looked at one after the other, each with what became of it.
import { api } from "../api.js";
import { ask, toast } from "../dialogs.js";
import { add, announce, field, h, put } from "../dom.js";
import { icon } from "../icons.js";
import { t, translated } from "../i18n.js";
import { suggestions } from "../suggest.js";

const MOST = 100;
const HOVER_ENDS_MS = 200;

/** The image files among what was dropped or chosen. */
export const imagesOf = (files) => [...(files ?? [])].filter((file) => file.type.startsWith("image/") || /\.(jpe?g|jfif|png|gif|webp|bmp|ico|tiff?|hei[cf]|hif|avif|jxl)$/i.test(file.name));

/** The same, and says so where something else was among it. */
function photosOf(files) {
  const photos = imagesOf(files);
  const others = files.length - photos.length;
  if (others) toast(t("files.no_photo", { n: others }), "warn");
  return photos;
}

/** Makes something take dropped photos; of things within each other, the innermost does. */
export function takesDrops(element, take) {
  let ends = 0;
  const light = (on) => {
    clearTimeout(ends);
    element.classList.toggle("over", on);
    if (on) ends = setTimeout(() => light(false), HOVER_ENDS_MS); // dragover comes again and again; leaving is not told reliably
  };
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "copy";
    light(true);
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    light(false);
    const files = photosOf(event.dataTransfer.files);
    if (files.length) take(files);
  });
  return element;
}

/** A place to drop photos on, with a button to choose them. */
export function dropZone({ text, button, multiple, take, id }) {
  const input = h("input", { type: "file", accept: "image/*,.heic,.heif,.hif,.jxl", multiple, class: "visually-hidden", id, tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => {
    const files = photosOf(input.files);
    input.value = "";
    if (files.length) take(files);
  });
  const choose = h("button", { class: "button", type: "button", onclick: () => input.click() }, button);
  return takesDrops(h("div", { class: "drop" }, icon("photo"), h("p", {}, text), choose, input), take);
}

/** Asks for photos of somebody and adds them; the name if anything was stored. */
export function addPhotos(person = "", files = [], consent = false) {
  return ask((close) => {
    const wanted = { files: files.slice(0, MOST), stored: 0 };
    const name = h("input", { type: "text", value: person, required: true, maxlength: 100, autocomplete: "off", name: "person", autofocus: !person });
    const chosen = h("p", { class: "help", "aria-live": "polite" });
    const go = h("button", { class: "button primary", type: "submit" });
    const show = () => {
      chosen.textContent = wanted.files.length ? t("files.chosen", { n: wanted.files.length }) : t("files.help");
      go.textContent = t("files.go", { n: wanted.files.length });
      go.disabled = !wanted.files.length;
    };
    const take = (more) => {
      if (wanted.files.length + more.length > MOST) toast(t("files.too_many", { n: MOST }), "warn");
      wanted.files = [...wanted.files, ...more].slice(0, MOST);
      show();
    };
    const content = h("div", {});
    const submit = async (event) => {
      event.preventDefault();
      const whom = name.value.trim();
      await work(content, whom, wanted.files, close, consent);
    };
    put(
      content,
      h(
        "form",
        { class: "form", onsubmit: submit },
        h("h2", {}, t("files.title")),
        field(t("files.person"), name),
        suggestions(name),
        dropZone({ text: t("files.drop"), button: t("files.choose"), multiple: true, take, id: "photos-input" }),
        chosen,
        h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => close(null) }, t("cancel")), go),
      ),
    );
    show();
    return content;
  });
}

/** Adds photos of somebody at once, such as after a drop on their card. */
export function addDropped(person, files) {
  return ask((close) => {
    const content = h("div", {});
    work(content, person, files.slice(0, MOST), close);
    return content;
  });
}

/** Sends photo by photo, so that each shows at once what became of it, and one that fails stops no other. */
async function work(content, person, files, close, consent = false) {
  const heading = h("h2", {}, t("files.title.of", { person }));
  const line = h("p", { class: "help", role: "status" });
  const list = h("ul", { class: "rows" });
  const done = h("button", { class: "button primary", type: "button", disabled: true }, t("files.done"));
  put(content, h("div", { class: "form" }, heading, line, list, h("div", { class: "actions" }, done)));
  let stored = 0;
  for (const [index, file] of files.entries()) {
    if (!content.isConnected && index > 0) break;
    line.textContent = t("files.working", { n: index + 1, all: files.length });
    const outcome = await addOne(person, file, consent && !stored);
    stored += outcome.stored;
    add(list, resultRow(file, outcome));
    list.lastElementChild.scrollIntoView({ block: "nearest" });
  }
  line.textContent = stored ? t("files.result", { n: stored, person }) : t("files.result.none", { person });
  announce(line.textContent);
  done.disabled = false;
  done.addEventListener("click", () => close(stored ? person : null));
  done.focus();
}

async function addOne(person, file, consent) {
  try {
    const answer = await api.addSamples(person, [file], consent);
    const [picture] = answer.pictures;
    return { stored: answer.stored, good: picture.outcome === "taken", words: translated(`outcome.${picture.outcome}`, picture.message) + (picture.rival ? `: ${picture.rival}` : "") };
  } catch (error) {
    return { stored: 0, good: false, words: error.message };
  }
}

function resultRow(file, { good, words }) {
  const picture = h("img", { class: "face", src: URL.createObjectURL(file), alt: "", onload: () => URL.revokeObjectURL(picture.src) });
  return h("li", {}, h("div", { class: "row" }, picture, h("div", { class: "row-text" }, h("span", {}, file.name), h("span", { class: "help" }, words)), h("span", { class: `badge ${good ? "good" : "warn"}` }, icon(good ? "check" : "warn"))));
}
