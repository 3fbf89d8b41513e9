// The ring around a head: which directions are captured. Angles are the picture's, 0 its right side, 90 up.
import { s } from "./dom.js";
import { translated } from "./i18n.js";

const TICKS_A_SIDE = 6;
const INNER = 150;
const TICK = 15;
const RIM = 139;

/** The way in words, as the person feels it: "left" is their own left. */
export const way = (angle) => translated(`way.${octant(angle)}`, "");
export const side = (angle) => translated(`side.${octant(angle)}`, "");
const octant = (angle) => Math.round((((angle % 360) + 360) % 360) / 45) % 8;

/** The large ring of the scan. */
export class Ring {
  /**
   * @param label for screen readers
   * @param mirrored whether the picture in it is
   * @param choose is called with a direction's number when its side is selected
   */
  constructor(label, mirrored, choose) {
    this.mirrored = mirrored;
    this.choose = choose;
    this.sides = [];
    this.parts = s("g", { role: "group", "aria-label": label });
    this.rim = s("circle", { class: "rim", r: RIM });
    this.steady = s("circle", { class: "steady", r: RIM, transform: "rotate(-90)", pathLength: 100, "stroke-dasharray": "100 100", "stroke-dashoffset": 100 });
    this.arrow = s("path", { class: "arrow", d: "M116 -13 L127 0 L116 13" });
    this.nose = s("circle", { class: "nose", r: 7 });
    this.arrow.style.opacity = this.nose.style.opacity = "0";
    const mark = s("path", { class: "done-mark", d: "M-52 4 L-15 41 L56 -36" });
    this.element = s("svg", { class: "ring", viewBox: "-200 -200 400 400" }, this.parts, this.rim, this.steady, this.arrow, this.nose, mark);
    this.parts.addEventListener("keydown", (event) => this.rove(event));
  }

  /** Shows the ring: parts [{angle_deg, near, far}], and what is wanted and faced, as the server tells. */
  show({ parts, facing = null, wanted = null, steady = 1, phase = "ring", thin = [], selectable = false, words }) {
    if (this.sides.length !== parts.length) this.build(parts);
    parts.forEach((part, index) => this.showSide(index, part, { facing, wanted, thin, selectable, words }));
    this.element.classList.toggle("paused", phase === "paused");
    this.element.classList.toggle("done", phase === "done");
    this.steady.setAttribute("stroke-dashoffset", String(100 - 100 * steady));
    this.steady.style.opacity = steady > 0 && steady < 1 ? "1" : "0";
    this.point(facing, wanted);
  }

  showSide(index, part, { facing, wanted, thin, selectable, words }) {
    const group = this.sides[index];
    const half = 180 / this.sides.length;
    group.classList.toggle("near", part.near !== null);
    group.classList.toggle("far", part.far !== null);
    group.classList.toggle("thin", thin.includes(index));
    group.classList.toggle("facing", facing !== null && apart(facing.angle_deg, part.angle_deg) <= half);
    group.classList.toggle("wanted", wanted !== null && apart(wanted, part.angle_deg) <= half);
    if (selectable) group.setAttribute("role", "button");
    else group.setAttribute("role", "img");
    group.setAttribute("aria-label", words(part, thin.includes(index)));
    if (selectable && !group.hasAttribute("tabindex")) group.setAttribute("tabindex", index === 0 ? "0" : "-1");
    if (!selectable) group.removeAttribute("tabindex");
  }

  point(facing, wanted) {
    this.nose.style.opacity = facing === null ? "0" : "1";
    if (facing !== null) {
      const [x, y] = this.at(facing.angle_deg, Math.min(1.6, facing.reach) * 70);
      this.nose.style.transform = `translate(${x}px, ${y}px)`;
    }
    this.arrow.style.opacity = wanted === null ? "0" : "1";
    if (wanted !== null) this.arrow.setAttribute("transform", `rotate(${this.turned(wanted)})`);
  }

  build(parts) {
    const step = 360 / parts.length;
    const gap = step / TICKS_A_SIDE;
    this.sides = parts.map((part, index) => {
      const ticks = Array.from({ length: TICKS_A_SIDE }, (_, tick) =>
        s("g", { transform: `rotate(${(tick - (TICKS_A_SIDE - 1) / 2) * gap})` }, s("line", { class: "tick", x1: INNER, x2: INNER + TICK })),
      );
      const choose = () => group.getAttribute("role") === "button" && this.choose(index);
      const group = s("g", { class: "side", transform: `rotate(${this.turned(part.angle_deg)})`, onclick: choose }, s("path", { class: "hit", d: sector(step) }), ticks);
      return group;
    });
    this.parts.replaceChildren(...this.sides);
  }

  /** Arrow keys go from side to side, Enter and space select. */
  rove(event) {
    const index = this.sides.indexOf(event.target);
    if (index < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(index);
      return;
    }
    const clockwise = this.mirrored ? 1 : -1;
    const by = { ArrowRight: clockwise, ArrowDown: clockwise, ArrowLeft: -clockwise, ArrowUp: -clockwise }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = this.sides[(index + by + this.sides.length) % this.sides.length];
    event.target.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  /** An angle of the picture as SVG turns it: clockwise from the right, in the mirror if there is one. */
  turned(angle) {
    return this.mirrored ? angle - 180 : -angle;
  }

  at(angle, radius) {
    const turn = (this.turned(angle) * Math.PI) / 180;
    return [radius * Math.cos(turn), radius * Math.sin(turn)];
  }
}

/** A small ring around a portrait: which of the directions [bool] are there, counter-clockwise from the right. */
export function coverageRing(covered, label) {
  const step = 360 / covered.length;
  const arcs = covered.map((has, index) => s("path", { class: has ? "covered" : null, d: arc(46.5, step * 0.62), transform: `rotate(${-index * step})` }));
  return s("svg", { class: "coverage", viewBox: "-50 -50 100 100", role: "img", "aria-label": label }, arcs);
}

function arc(radius, degrees) {
  const half = (degrees / 2) * (Math.PI / 180);
  const [x, y] = [radius * Math.cos(half), radius * Math.sin(half)];
  return `M${x} ${-y} A${radius} ${radius} 0 0 1 ${x} ${y}`;
}

function sector(degrees) {
  const half = (degrees / 2) * (Math.PI / 180);
  const [c, n] = [Math.cos(half), Math.sin(half)];
  return `M${142 * c} ${-142 * n} A142 142 0 0 1 ${142 * c} ${142 * n} L${192 * c} ${192 * n} A192 192 0 0 0 ${192 * c} ${-192 * n} Z`;
}

const apart = (a, b) => Math.abs(((((a - b) % 360) + 540) % 360) - 180);
