// Dragging a stranger, or one of their faces, to somebody. Whoever cannot drag types the name: every place has both.
import { api } from "./api.js";
import { h, put } from "./dom.js";
import { t } from "./i18n.js";
import { portrait } from "./portraits.js";

const MOST_SHOWN = 24;
const PAUSE_MS = 150;
const TYPE = "text/x-facepool-stranger";
let dragged = null;

/** Lets an element be dragged; `what` is given to the place on which it is dropped. */
export function canBeDragged(element, what) {
  element.draggable = true;
  element.addEventListener("dragstart", (event) => {
    event.stopPropagation();
    dragged = what;
    event.dataTransfer.setData(TYPE, "1");
    event.dataTransfer.effectAllowed = "copyMove";
    document.documentElement.classList.add("dragging");
  });
  element.addEventListener("dragend", () => {
    dragged = null;
    document.documentElement.classList.remove("dragging");
  });
  return element;
}

/** Lets an element take what is dragged to it, if `may` says so. */
export function takesStrangers(element, take, may = () => true) {
  element.addEventListener("dragover", (event) => {
    if (!dragged || !may(dragged)) return;
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = "move";
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    element.classList.remove("over");
    if (!dragged || !may(dragged)) return;
    event.preventDefault();
    event.stopPropagation();
    take(dragged);
  });
  return element;
}

/** A shelf of people to drop strangers on; `take` gets the name and what was dropped. Null where nobody is known. */
export async function peopleShelf(take, signal) {
  const { persons, total } = await api.people({ limit: MOST_SHOWN }, signal);
  if (!total) return null;
  const list = h("ul", { class: "shelf-people" });
  const show = (found) =>
    put(
      list,
      found.map((person) => takesStrangers(h("li", {}, h("a", { class: "shelf-person", href: `#/people/${encodeURIComponent(person.person)}`, draggable: "false" }, portrait(person), h("span", {}, person.person))), (what) => take(person.person, what))),
    );
  show(persons);
  let waiting = 0;
  const find = async () => {
    const prefix = search.value.trim();
    const found = await api.people({ prefix, limit: MOST_SHOWN }, signal).catch(() => null);
    if (found && search.value.trim() === prefix) show(found.persons);
  };
  const search = h("input", { type: "search", "aria-label": t("people.search"), placeholder: t("people.search"), autocomplete: "off", hidden: total <= MOST_SHOWN, oninput: () => (clearTimeout(waiting), (waiting = setTimeout(find, PAUSE_MS))) });
  return h("aside", { class: "shelf", "aria-label": t("unknown.shelf") }, h("p", { class: "help" }, t("unknown.shelf.help")), search, list);
}
