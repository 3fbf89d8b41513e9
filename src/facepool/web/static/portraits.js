// The face that stands for a person: the most frontal picture that the pool keeps, or an initial.
import { api } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

/** A round face. `person` as the server lists it; size "", "large" or "huge". */
export function portrait(person, size = "") {
  const kind = `face ${size}`.trim();
  const initial = () => h("span", { class: kind, "aria-hidden": "true" }, [...(person?.person ?? "")][0]?.toUpperCase() ?? icon("register"));
  if (!person || person.face === null || person.face === undefined) return initial();
  const image = h("img", { class: kind, src: api.picture(person.person, person.face), alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(initial()));
  return image;
}

/** Everybody's face by name, for lists of who was seen. */
export async function portraits(signal) {
  const persons = await api.people(signal);
  return new Map(persons.map((person) => [person.person, { face: (size) => portrait(person, size) }]));
}
