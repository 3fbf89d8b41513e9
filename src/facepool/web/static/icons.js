// Line icons on a grid of 24, drawn for this page.
import { s } from "./dom.js";

const PATHS = {
  register: ["M12 3.2a8.8 8.8 0 1 0 0 17.6 8.8 8.8 0 0 0 0-17.6z", "M9.2 10v.9M14.8 10v.9M9 14.4c1.7 1.6 4.3 1.6 6 0"],
  live: ["M3.5 7.5a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-8a2 2 0 0 1-2-2z", "m15.5 10.5 5-3v9l-5-3"],
  people: [
    "M9 11.2a3.4 3.4 0 1 0 0-6.8 3.4 3.4 0 0 0 0 6.8zM2.8 19.4c.5-3.2 3-5.2 6.2-5.2s5.7 2 6.2 5.2",
    "M15.6 4.9a3.2 3.2 0 0 1 0 6M17.6 14.6c2 .6 3.3 2.3 3.6 4.8",
  ],
  photo: ["M4 6.5a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v11a2 2 0 0 1-2 2h-12a2 2 0 0 1-2-2z", "m4.5 17 4.5-5 3.5 3.5 2.5-2.5 4.5 4.5M15.5 9.5h.01"],
  activity: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 7.5v5l3.2 2"],
  settings: ["M4 7h9M19 7h1M4 17h2M12 17h8M16 4.7a2.3 2.3 0 1 1 0 4.6 2.3 2.3 0 0 1 0-4.6zM9 14.7a2.3 2.3 0 1 1 0 4.6 2.3 2.3 0 0 1 0-4.6z"],
  plus: ["M12 5v14M5 12h14"],
  close: ["m6 6 12 12M18 6 6 18"],
  check: ["m5 12.5 4.5 4.5 9.5-10"],
  back: ["m14.5 5-7 7 7 7"],
  next: ["m9.5 5 7 7-7 7"],
  redo: ["M19.5 12a7.5 7.5 0 1 1-2.4-5.5", "M19.5 3.8v4.2h-4.2"],
  warn: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5M12 17.2h.01"],
  trash: ["M4.5 7h15M9.5 7v-2.5h5v2.5M6.5 7l.8 12.5h9.4l.8-12.5", "M10 11v5M14 11v5"],
  edit: ["m4.5 19.5.8-4 10.2-10.2a1.8 1.8 0 0 1 2.5 0l.7.7a1.8 1.8 0 0 1 0 2.5l-10.2 10.2z"],
  merge: ["M6 4.5v3c0 2.5 2 4.5 4.5 4.5h7.5M6 19.5v-3c0-2.5 2-4.5 4.5-4.5", "m15 8.8 3.2 3.2-3.2 3.2"],
  download: ["M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4.5 19.5h15"],
  upload: ["M12 15.5v-11M7.5 8.5l4.5-4.5 4.5 4.5M4.5 19.5h15"],
  camera: ["M3.5 8.5a2 2 0 0 1 2-2h2.2l1.5-2h5.6l1.5 2h2.2a2 2 0 0 1 2 2v8.5a2 2 0 0 1-2 2h-13a2 2 0 0 1-2-2z", "M12 9.2a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2z"],
  search: ["M10.8 4.3a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "m15.7 15.7 4.5 4.5"],
  stop: ["M7 7h10v10h-10z"],
  speak: ["M4 9.5v5h3.2l4.3 3.7v-12.4l-4.3 3.7z", "M15 9.2a4 4 0 0 1 0 5.6M17.5 6.7a7.5 7.5 0 0 1 0 10.6"],
  lock: ["M6 10.5h12v9h-12z", "M8.5 10.5v-2.5a3.5 3.5 0 0 1 7 0v2.5"],
  chip: ["M7 7h10v10h-10z", "M10 3.5v3.5M14 3.5v3.5M10 17v3.5M14 17v3.5M3.5 10h3.5M3.5 14h3.5M17 10h3.5M17 14h3.5"],
  key: ["M8 11.5a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "m11 12.7 8.5-8.5M16 7.7l2.5 2.5"],
  flip: ["M4 9.5h13.5M14 5.5l4 4-4 4M20 14.5h-13.5M10 18.5l-4-4 4-4"],
};

/** An icon that screen readers pass over. */
export function icon(name, size = 20) {
  return s(
    "svg",
    { viewBox: "0 0 24 24", width: size, height: size, class: "icon", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => s("path", { d })),
  );
}

/** The mark beside the name. */
export function mark(size = 30) {
  return s(
    "svg",
    { viewBox: "0 0 64 64", width: size, height: size, class: "mark", "aria-hidden": "true", focusable: "false" },
    s("rect", { width: 64, height: 64, rx: 15 }),
    s("circle", { cx: 32, cy: 32, r: 20, "stroke-dasharray": "1.4 6.45" }),
    s("path", { d: "M25.5 27v3M38.5 27v3M25 37.5c4 4 10 4 14 0" }),
  );
}
