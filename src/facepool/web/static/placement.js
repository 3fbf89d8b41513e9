// Where labels go so that they cover neither a face nor each other: pure geometry, in pixels of the screen.

const CORNER_OF_FACE = 0.3; // a plate inside its own box may be this share of its height: corners show no face
const GAP = 3;
const EDGE = 3;

/**
 * Finds a place for each label: with the fullest text that covers no face and no other label.
 *
 * The shortest texts are placed first, so that nobody's long name takes the place of a neighbour's number; then each
 * grows as far as there is room. A label without any free place goes where it covers least.
 *
 * @param wanted [{box: {x, y, w, h}, sizes: [[width, height]], optional}] the fullest text's size first; an optional
 *   label may be left out
 * @param room [width, height] of the picture
 * @returns [{choice, x, y}], null for what is left out
 */
export function arrange(wanted, room) {
  const faces = wanted.map(({ box }) => ({ x: box.x - GAP / 2, y: box.y - GAP / 2, w: box.w + GAP, h: box.h + GAP }));
  const plates = wanted.map(() => null);
  const covered = (row, without) => [...faces.filter((_, other) => other !== without), ...plates.filter((plate, other) => plate && other !== row)];
  const find = (row, choice) => {
    const [w, h] = wanted[row].sizes[choice];
    const everything = covered(row);
    const beside = around(faces[row], w, h, room).find((at) => !everything.some((other) => overlap(at, other)));
    if (beside || h > CORNER_OF_FACE * faces[row].h) return beside;
    const others = covered(row, row);
    return within(faces[row], w, h, room).find((at) => !others.some((other) => overlap(at, other)));
  };
  const put = (row, choices) => {
    for (const choice of choices) {
      const found = find(row, choice);
      if (!found) continue;
      plates[row] = { ...found, choice };
      return;
    }
  };
  wanted.forEach(({ sizes }, row) => put(row, [sizes.length - 1]));
  wanted.forEach(({ sizes }, row) => put(row, sizes.keys()));
  wanted.forEach(({ sizes, optional }, row) => {
    if (plates[row] || optional) return;
    const [w, h] = sizes.at(-1);
    const everything = covered(row);
    const possible = [...around(faces[row], w, h, room), ...within(faces[row], w, h, room)];
    const worst = (at) => everything.reduce((sum, other) => sum + overlap(at, other), 0);
    const best = possible.reduce((least, at) => (worst(at) < worst(least) ? at : least), possible[0] ?? { x: 0, y: 0, w, h });
    plates[row] = { ...best, choice: sizes.length - 1 };
  });
  return plates.map((plate) => plate && { choice: plate.choice, x: plate.x, y: plate.y });
}

/** Below, above, then at the sides; wholly in the picture, moved along the box's edge if need be. */
function around(box, w, h, [roomWidth, roomHeight]) {
  const inWidth = (x) => Math.max(EDGE, Math.min(x, roomWidth - w - EDGE));
  const inHeight = (y) => Math.max(0, Math.min(y, roomHeight - h));
  const places = [];
  for (const x of [box.x + (box.w - w) / 2, box.x, box.x + box.w - w]) for (const y of [box.y + box.h, box.y - h]) if (y >= 0 && y + h <= roomHeight) places.push({ x: inWidth(x), y, w, h });
  for (const x of [box.x + box.w, box.x - w]) if (x >= 0 && x + w <= roomWidth) for (const y of [box.y, box.y + box.h - h]) places.push({ x, y: inHeight(y), w, h });
  return places;
}

/** At the corners of the box. */
function within(box, w, h, [roomWidth, roomHeight]) {
  const places = [];
  for (const y of [box.y + box.h - h, box.y]) for (const x of [box.x, box.x + box.w - w]) if (y >= 0 && y + h <= roomHeight) places.push({ x: Math.max(0, Math.min(x, roomWidth - w)), y, w, h });
  return places;
}

/** How much of two rectangles is one on the other. */
function overlap(one, other) {
  const across = Math.min(one.x + one.w, other.x + other.w) - Math.max(one.x, other.x);
  const down = Math.min(one.y + one.h, other.y + other.h) - Math.max(one.y, other.y);
  return Math.max(0, across) * Math.max(0, down);
}
