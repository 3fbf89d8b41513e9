// What was changed and can be taken back: a button in the message that tells of it, and the key z.
import { api } from "./api.js";
import { toast, toastError } from "./dialogs.js";
import { t } from "./i18n.js";

const taken = [];

/**
 * Says that something was done.
 *
 * @param text what was done
 * @param numbers of the server's entries that take it back, in the order in which they were made; null: nothing does
 * @param after is called when it was taken back
 */
export function done(text, numbers, after) {
  const entries = numbers.filter((number) => number !== null && number !== undefined);
  if (!entries.length) {
    toast(text);
    return;
  }
  const one = { text, entries, after };
  taken.push(one);
  one.message = toast(text, "check", { text: t("undo.go"), act: () => takeBack(one) });
}

/** Takes back what was done last, here or, where nothing was done here yet, by anybody. */
export async function takeBackLast(after) {
  const one = taken.at(-1);
  if (one) return takeBack(one);
  try {
    const { entries } = await api.undoable();
    if (!entries.length) return toast(t("undo.none"), "warn");
    const last = entries.reduce((newest, entry) => (entry.id > newest.id ? entry : newest));
    return await takeBack({ text: last.what, entries: [last.id], after });
  } catch (error) {
    return toastError(error);
  }
}

async function takeBack(one) {
  const place = taken.indexOf(one);
  if (place >= 0) taken.splice(place, 1);
  one.message?.remove();
  try {
    for (const number of one.entries.toReversed()) await api.undo(number);
    toast(t("undo.done", { what: one.text }));
  } catch (error) {
    toastError(error);
  }
  await one.after?.();
}
