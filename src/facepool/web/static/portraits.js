// The face that stands for a person: the most frontal picture that the pool keeps, or an initial.
import { api } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const AT_ONCE = 50;

/** A round face. `person` as the server lists it; size "", "large" or "huge". */
export function portrait(person, size = "") {
  const kind = `face ${size}`.trim();
  const initial = () => h("span", { class: kind, "aria-hidden": "true" }, [...(person?.person ?? "")][0]?.toUpperCase() ?? icon("register"));
  if (!person || person.face === null || person.face === undefined) return initial();
  const image = h("img", { class: kind, src: api.picture(person.person, person.face), alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(initial()));
  return image;
}

/** Faces by name, for lists of who was seen. Only of those who are shown, many with one question. */
export function portraits(signal) {
  const known = new Map();
  let wanted = new Map();

  async function ask() {
    const places = wanted;
    wanted = new Map();
    const names = [...places.keys()];
    for (let first = 0; first < names.length; first += AT_ONCE) {
      const { persons } = await api.people({ name: names.slice(first, first + AT_ONCE) }, signal).catch(() => ({ persons: [] }));
      for (const person of persons) {
        known.set(person.person, person);
        for (const [place, size] of places.get(person.person) ?? []) if (person.face !== null) place.replaceWith(portrait(person, size));
      }
    }
  }

  /** The face of somebody, at first an initial if nobody has asked yet; null for nobody. */
  function face(name, size = "") {
    if (!name) return null;
    if (known.has(name)) return portrait(known.get(name), size);
    const place = portrait({ person: name, face: null }, size);
    if (!wanted.size) setTimeout(ask);
    wanted.set(name, [...(wanted.get(name) ?? []), [place, size]]);
    return place;
  }
  return { face };
}
