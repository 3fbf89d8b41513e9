// A small chart: how many strangers would be named at each similarity, on a logarithmic scale.
import { s } from "./dom.js";
import { compact, number, t } from "./i18n.js";

const [WIDTH, HEIGHT] = [560, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [62, 12, 10, 28]; // app.css keeps the slider below to the same left and right
const MOST = 1;

/** @param points [{similarity, fpir}] by similarity */
export function curveChart(points) {
  if (points.length < 2) return { element: null, range: null, show: () => null };
  const [from, to] = [points[0].similarity, points.at(-1).similarity];
  const least = Math.floor(Math.log10(Math.max(1e-7, points.at(-1).fpir)));
  const x = (value) => LEFT + ((value - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (rate) => TOP + ((Math.log10(MOST) - Math.log10(Math.min(MOST, Math.max(rate, 10 ** least)))) / -least) * (HEIGHT - TOP - BOTTOM);
  const line = points.map((point, index) => `${index ? "L" : "M"}${x(point.similarity).toFixed(1)} ${y(point.fpir).toFixed(1)}`).join("");
  const decades = Array.from({ length: -least + 1 }, (_, power) => 10 ** -power).filter((_, index) => least > -5 || index % 2 === 0);
  const marks = [];
  for (let value = Math.ceil(from * 10) / 10; value <= to + 1e-9; value += 0.1) marks.push(Math.round(value * 10) / 10);
  const at = s("path", { class: "at" });
  const knob = s("circle", { class: "knob", r: 6 });
  const element = s(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("settings.threshold.curve") },
    decades.map((rate) => [s("path", { class: "axis", d: `M${LEFT} ${y(rate)}H${WIDTH - RIGHT}` }), s("text", { x: LEFT - 7, y: y(rate) + 4, "text-anchor": "end" }, rate === 1 ? "1" : `1/${compact(1 / rate)}`)]),
    marks.map((value) => s("text", { x: x(value), y: HEIGHT - 8, "text-anchor": "middle" }, number(value, 1))),
    s("path", { class: "line", d: line }),
    at,
    knob,
  );
  const rateAt = (value) => {
    const after = points.findIndex((point) => point.similarity >= value);
    if (after <= 0) return points[after === 0 ? 0 : points.length - 1].fpir;
    const [a, b] = [points[after - 1], points[after]];
    const share = (value - a.similarity) / (b.similarity - a.similarity);
    return Math.exp(Math.log(a.fpir) * (1 - share) + Math.log(b.fpir) * share);
  };
  return {
    element,
    range: [from, to],
    show: (value) => {
      const shown = Math.max(from, Math.min(to, value));
      at.setAttribute("d", `M${x(shown)} ${TOP}V${HEIGHT - BOTTOM}`);
      knob.setAttribute("cx", x(shown));
      knob.setAttribute("cy", y(rateAt(shown)));
    },
  };
}
