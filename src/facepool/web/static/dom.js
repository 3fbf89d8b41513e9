// Makes elements. Text is always text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "htmlFor", "srcObject", "muted", "playsInline", "indeterminate"]);

/** An HTML element: h("button", {class: "primary", onclick: save}, "Save"). */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/** Appends nodes and texts; lists are flattened, null and false are left out. */
export function add(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  return add(element, ...children);
}

let numbered = 0;
/** An id that is free, for labels. */
export function freshId(word) {
  numbered += 1;
  return `${word}-${numbered}`;
}

/** A label above a control, with an optional line below it. */
export function field(label, control, help) {
  control.id ||= freshId("field");
  const explained = help ? h("p", { class: "help", id: `${control.id}-help` }, help) : null;
  if (explained) control.setAttribute("aria-describedby", explained.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, explained);
}

/** A switch with its label at the left. */
export function toggle(label, checked, change, help) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", checked, onchange: () => change(input.checked) });
  input.id = freshId("switch");
  const explained = help ? h("span", { class: "help", id: `${input.id}-help` }, help) : null;
  if (explained) input.setAttribute("aria-describedby", explained.id);
  return h("div", { class: "row" }, h("label", { class: "row-text", for: input.id }, h("span", {}, label), explained), input);
}

/** A few choices of which one holds, as a row of buttons. */
export function segments(label, options, chosen, change) {
  const name = freshId("segment");
  return h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "visually-hidden" }, label),
    options.map(([value, text]) => {
      const input = h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => change(value) });
      return h("label", {}, input, h("span", {}, text));
    }),
  );
}

/** Says something to screen readers. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
