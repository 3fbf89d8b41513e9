// Boxes and names over a picture. They are drawn in the screen's own pixels, so they are as sharp as the text beside.

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const COLOURS = { known: "#2fae58", unknown: "#e5483f", open: "#f3f3f5" };
const CORNER = 0.22;

/**
 * Draws labels over a picture that is shown as large as it fits (object-fit: contain).
 *
 * @param canvas that lies over the picture
 * @param size [width, height] of the picture that the boxes belong to
 * @param labels [{box: [x1, y1, x2, y2], text, detail, kind: "known" | "unknown" | "open"}]
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
  const taken = [];
  for (const label of labels) drawLabel(pen, place(label.box, size, fit, mirrored), label, [clientWidth, clientHeight], taken);
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

function drawLabel(pen, { x, y, w, h }, { text, detail, kind }, [roomWidth, roomHeight], taken) {
  const colour = COLOURS[kind];
  const radius = Math.min(w, h) * 0.12;
  pen.lineWidth = 2.5;
  pen.strokeStyle = colour;
  pen.shadowColor = "rgb(0 0 0 / 45%)";
  pen.shadowBlur = 4;
  pen.beginPath();
  if (kind === "open") corners(pen, x, y, w, h, radius);
  else pen.roundRect(x, y, w, h, radius);
  pen.stroke();
  pen.shadowBlur = 0;
  if (!text) return;
  pen.textBaseline = "middle";
  pen.font = `600 14px ${FONT}`;
  const wide = pen.measureText(text).width;
  pen.font = `500 12px ${FONT}`;
  const extra = detail ? pen.measureText(detail).width + 7 : 0;
  const pill = { w: wide + extra + 20, h: 26 };
  const left = Math.max(4, Math.min(x + w / 2 - pill.w / 2, roomWidth - pill.w - 4));
  const rows = [y + h + 7, y - pill.h - 7, y + h + 11 + pill.h, y - 2 * pill.h - 11, y + h + 15 + 2 * pill.h];
  const free = (row) => row >= 4 && row + pill.h <= roomHeight - 4 && !taken.some((other) => Math.abs(other.top - row) < pill.h + 2 && left < other.right + 4 && other.left < left + pill.w + 4);
  const top = rows.find(free) ?? Math.max(4, Math.min(rows[0], roomHeight - pill.h - 4));
  taken.push({ left, right: left + pill.w, top });
  pen.fillStyle = kind === "known" ? "#166534" : kind === "unknown" ? "#9f1f18" : "#3c3c43";
  pen.beginPath();
  pen.roundRect(left, top, pill.w, pill.h, pill.h / 2);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.font = `600 14px ${FONT}`;
  pen.fillText(text, left + 10, top + pill.h / 2 + 0.5);
  if (!detail) return;
  pen.font = `500 12px ${FONT}`;
  pen.fillStyle = "rgb(255 255 255 / 88%)";
  pen.fillText(detail, left + 10 + wide + 7, top + pill.h / 2 + 0.5);
}

function corners(pen, x, y, w, h, radius) {
  const [dx, dy] = [w * CORNER, h * CORNER];
  for (const [cx, cy, sx, sy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
    pen.moveTo(cx + sx * dx, cy);
    pen.arcTo(cx, cy, cx, cy + sy * dy, radius);
    pen.lineTo(cx, cy + sy * dy);
  }
}
