// Words, numbers and dates in the user's language: the browser's, or the one that was chosen here.
import { recall, remember } from "./memory.js";
import en from "./words/en.js";
import de from "./words/de.js";
import englishErrors from "./words/errors.en.js";
import germanErrors from "./words/errors.de.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const WORDS = { en, de };
const ERRORS = { en: englishErrors, de: germanErrors };
const CHOSEN = "facepool.language";

export function chosenLanguage() {
  const chosen = recall(CHOSEN);
  return chosen in LANGUAGES ? chosen : "auto";
}

export function language() {
  const chosen = chosenLanguage();
  if (chosen !== "auto") return chosen;
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES);
  return wanted ?? "en";
}

/** How numbers and dates are written: as the browser's own region does where it speaks the language of the page. */
function region() {
  return navigator.languages.find((tag) => tag.slice(0, 2) === language()) ?? language();
}

export const chooseLanguage = (chosen) => remember(CHOSEN, chosen === "auto" ? null : chosen);

/** Words by key. {name} is replaced; a key with forms (one, other) takes that of the number n. */
export function t(key, values = {}) {
  const found = look(key);
  if (found === undefined) throw new Error(`no words for ${key}`);
  const form = typeof found === "string" ? found : (found[new Intl.PluralRules(language()).select(values.n)] ?? found.other);
  return filled(form, values);
}

function filled(form, values) {
  return form.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number(value) : apart(String(value));
  });
}

/**
 * What a message of the server is in the page's language.
 *
 * @param code of the message
 * @param own the server's words, which are English
 * @returns {words, detail}: the detail is the server's own words where they say more, or empty
 */
export function errorWords(code, own) {
  const known = ERRORS[language()][code];
  if (!known) return own ? { words: own, detail: "" } : { words: t("error.title"), detail: "" };
  for (const [pattern, form] of known.said ?? []) {
    const said = own.match(pattern);
    if (said) return { words: filled(form, numbered(said.groups ?? {})), detail: "" };
  }
  return { words: known.words, detail: known.whole ? "" : own };
}

/** Numbers of English words as numbers, for each language writes them in its own way. */
const numbered = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, /^\d[\d,]*(\.\d+)?$/.test(value) ? Number(value.replaceAll(",", "")) : value]));

const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
/** A name that runs from right to left is kept from turning round the words and numbers beside it. */
const apart = (value) => (FROM_RIGHT.test(value) ? `\u2068${value}\u2069` : value);

/** The same, or the fallback where there are no words, such as for a code that is newer than this page. */
export function translated(key, fallback, values = {}) {
  return look(key) === undefined ? fallback : t(key, values);
}

function look(key) {
  return WORDS[language()][key] ?? WORDS.en[key];
}

export function number(value, digits) {
  const exact = digits === undefined ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(region(), exact).format(value);
}

/** A large number in few characters. */
export const compact = (value) => new Intl.NumberFormat(region(), { notation: "compact", maximumSignificantDigits: 2 }).format(value);

/** A share of 0..1 in percent, with as many digits as it takes to see it. */
export function percent(share) {
  return new Intl.NumberFormat(region(), { style: "percent", maximumSignificantDigits: 2 }).format(share);
}

export function time(date) {
  return new Intl.DateTimeFormat(region(), { hour: "numeric", minute: "2-digit" }).format(date);
}

/** From when to when, in as few words as it takes. */
export function times(from, to) {
  return new Intl.DateTimeFormat(region(), { hour: "numeric", minute: "2-digit" }).formatRange(from, to);
}

/** A day in words; `style` is how days are written that are neither today nor yesterday. */
export function day(date, style = { weekday: "long", day: "numeric", month: "long", year: "numeric" }) {
  const today = new Date();
  const yesterday = new Date(today.getTime() - 86_400_000);
  if (date.toDateString() === today.toDateString()) return t("day.today");
  if (date.toDateString() === yesterday.toDateString()) return t("day.yesterday");
  return new Intl.DateTimeFormat(region(), style).format(date);
}

export function dateTime(date) {
  return new Intl.DateTimeFormat(region(), { dateStyle: "medium", timeStyle: "short" }).format(date);
}

export function date(value) {
  return new Intl.DateTimeFormat(region(), { dateStyle: "medium" }).format(value);
}

export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  const style = { style: "unit", unit: units[power], maximumFractionDigits: power ? 1 : 0 };
  return new Intl.NumberFormat(region(), style).format(count / 1000 ** power);
}

export function listed(words) {
  return new Intl.ListFormat(language(), { type: "conjunction" }).format(words);
}
