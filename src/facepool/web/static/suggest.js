// Suggests people while their name is typed: those whose names begin with it, however many people there are.
import { api } from "./api.js";
import { freshId, h } from "./dom.js";

const MOST = 12;
const PAUSE_MS = 150;

/** Lets a text field suggest people; the list has to stand beside it. */
export function suggestions(input, signal) {
  const list = h("datalist", { id: freshId("people") });
  input.setAttribute("list", list.id);
  let waiting = 0;
  let shown = null;
  const look = async () => {
    const prefix = input.value.trim();
    if (prefix === shown) return;
    shown = prefix;
    const { persons } = await api.people({ prefix, limit: MOST }, signal).catch(() => ({ persons: [] }));
    if (shown === prefix) list.replaceChildren(...persons.map(({ person }) => h("option", { value: person })));
  };
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, PAUSE_MS);
  });
  input.addEventListener("focus", look);
  return list;
}
