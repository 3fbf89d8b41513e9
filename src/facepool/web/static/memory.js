// What the page remembers in this browser. In a frame of another site, browsers may keep nothing: then until it is closed.

const forNow = new Map();
let kept = null;
try {
  kept = window.localStorage;
} catch {
  // the browser says so only when it is asked
}

/** What was remembered under a name, or null. */
export const recall = (name) => kept?.getItem(name) ?? forNow.get(name) ?? null;

/** Remembers a text under a name; null forgets it. */
export function remember(name, value) {
  if (value === null) {
    forNow.delete(name);
    kept?.removeItem(name);
    return;
  }
  forNow.set(name, value);
  try {
    kept?.setItem(name, value);
  } catch {
    // it is full
  }
}
