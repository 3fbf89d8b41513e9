// Boxes and names over a picture. They are drawn in the screen's own pixels, so they are as sharp as the text beside.
import { arrange } from "./placement.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const COLOURS = { known: "#2fae58", unknown: "#e5483f", open: "#f3f3f5" };
const PLATES = { known: "#166534", unknown: "#9f1f18", open: "#3c3c43" };
const CORNER = 0.22;
const [HEIGHT, PADDING, GAP] = [24, 9, 6];
const [SMALL_HEIGHT, SMALL_PADDING] = [17, 5]; // of a number alone
const [WIDEST, NARROWEST] = [300, 64];
const STYLES = { number: `700 12px ${FONT}`, text: `600 14px ${FONT}`, detail: `500 12px ${FONT}` };

/**
 * Draws labels over a picture that is shown as large as it fits (object-fit: contain).
 *
 * @param canvas that lies over the picture
 * @param size [width, height] of the picture that the boxes belong to
 * @param labels [{box: [x1, y1, x2, y2], number, text, detail, kind: "known" | "unknown" | "open", optional, marked}]: the
 *   detail, then the text are left out where they would cover a face; what is optional may go altogether
 * @param mirrored whether the picture is shown as in a mirror; text never is
 */
export function drawLabels(canvas, size, labels, mirrored = false) {
  const density = window.devicePixelRatio || 1;
  const { clientWidth, clientHeight } = canvas;
  const width = Math.round(clientWidth * density);
  const height = Math.round(clientHeight * density);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, clientWidth, clientHeight);
  if (!size) return;
  const fit = fitted([clientWidth, clientHeight], size);
  const places = labels.map((label) => place(label.box, size, fit, mirrored));
  labels.forEach((label, row) => drawBox(pen, places[row], label));
  const written = labels.flatMap((label, row) => (label.text || label.number ? [{ label, box: places[row], forms: formsOf(pen, label, clientWidth) }] : []));
  const wanted = written.map(({ label, box, forms }) => ({ box, sizes: forms.map(({ width, height }) => [width, height]), optional: label.optional }));
  arrange(wanted, [clientWidth, clientHeight]).forEach((at, index) => at && drawPlate(pen, at, written[index]));
}

/** Where a picture lies in a room that it is fitted into: scale, left, top. */
export function fitted([roomWidth, roomHeight], [width, height]) {
  const scale = Math.min(roomWidth / width, roomHeight / height);
  return { scale, left: (roomWidth - width * scale) / 2, top: (roomHeight - height * scale) / 2 };
}

function place([x1, y1, x2, y2], [width], { scale, left, top }, mirrored) {
  const [from, to] = mirrored ? [width - x2, width - x1] : [x1, x2];
  return { x: left + from * scale, y: top + y1 * scale, w: (to - from) * scale, h: (y2 - y1) * scale };
}

/** What a label may say, fullest first: lists of [style, text], and how wide they are. */
function formsOf(pen, { number, text, detail }, roomWidth) {
  const most = Math.min(WIDEST, roomWidth - 2 * PADDING);
  const lead = number ? [["number", number]] : [];
  const name = text ? [["text", shortened(pen, text, most - (number ? 30 : 0))]] : [];
  const forms = [[...lead, ...name]];
  if (detail && name.length) forms.unshift([...lead, ...name, ["detail", detail]]);
  if (number && name.length) forms.push(lead);
  if (!number && text) forms.push([["text", shortened(pen, text, NARROWEST)]]);
  return forms.map((parts) => measured(pen, parts)).filter(({ width }, row, all) => row === all.length - 1 || width <= roomWidth);
}

function measured(pen, parts) {
  const small = parts.length === 1 && parts[0][0] === "number";
  const padding = small ? SMALL_PADDING : PADDING;
  const width = parts.reduce((sum, part) => sum + widthOf(pen, part) + GAP, 2 * padding - GAP);
  return { parts, width, padding, height: small ? SMALL_HEIGHT : HEIGHT };
}

function widthOf(pen, [style, text]) {
  pen.font = STYLES[style];
  return Math.ceil(pen.measureText(text).width);
}

function shortened(pen, text, width) {
  const letters = [...text];
  if (widthOf(pen, ["text", text]) <= width) return text;
  while (letters.length > 1 && widthOf(pen, ["text", `${letters.join("").trimEnd()}…`]) > width) letters.pop();
  return `${letters.join("").trimEnd()}…`;
}

function drawBox(pen, { x, y, w, h }, { kind, marked }) {
  const radius = Math.min(w, h) * 0.12;
  pen.lineWidth = marked ? 5 : Math.min(w, h) < 24 ? 1.5 : 2.5;
  pen.strokeStyle = marked ? "#fff" : COLOURS[kind];
  pen.shadowColor = "rgb(0 0 0 / 45%)";
  pen.shadowBlur = marked ? 10 : 4;
  pen.beginPath();
  if (kind === "open") corners(pen, x, y, w, h, radius);
  else pen.roundRect(x, y, w, h, radius);
  pen.stroke();
  pen.shadowBlur = 0;
}

function drawPlate(pen, { x, y, choice }, { label, forms }) {
  const { parts, width, height, padding } = forms[choice];
  pen.fillStyle = PLATES[label.kind];
  pen.beginPath();
  pen.roundRect(x, y, width, height, height / 2);
  pen.fill();
  pen.textBaseline = "middle";
  let left = x + padding;
  for (const part of parts) {
    const wide = widthOf(pen, part);
    pen.fillStyle = part[0] === "detail" ? "rgb(255 255 255 / 88%)" : "#fff";
    pen.fillText(part[1], left, y + height / 2 + 0.5);
    left += wide + GAP;
  }
}

function corners(pen, x, y, w, h, radius) {
  const [dx, dy] = [w * CORNER, h * CORNER];
  for (const [cx, cy, sx, sy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
    pen.moveTo(cx + sx * dx, cy);
    pen.arcTo(cx, cy, cx, cy + sy * dy, radius);
    pen.lineTo(cx, cy + sy * dy);
  }
}
