// Settings: when a face is somebody, what runs where, the pool, cameras, keys, and this page itself.
import { api } from "../api.js";
import { consentGiven, withdrawConsent } from "../camera.js";
import { ask, confirm, form, problemBox, toast } from "../dialogs.js";
import { add, announce, field, h, put, segments, toggle } from "../dom.js";
import { LANGUAGES, chooseLanguage, chosenLanguage, date, dateTime, number, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { recall, remember } from "../memory.js";
import { curveChart } from "../curve.js";
import { attempt } from "./person.js";

const ROLES = ["recognize", "enroll", "admin"];
const SAVE_AFTER_MS = 500;
const TURNS = ["auto", "90", "180", "270"];

export async function showSettings(page, { signal, redraw, session }) {
  const admin = session?.role === "admin";
  const [pool, settings, system] = await Promise.all([api.pool(signal), api.settings(signal), api.system(signal).catch(() => ({}))]);
  put(
    page,
    h("div", { class: "page-head" }, h("h1", {}, t("settings.title"))),
    thresholdSection(pool, settings, admin, redraw),
    poolSection(pool, admin, redraw),
    seenSection(settings, admin, redraw),
    engineSection(system),
    await section("cameras", () => camerasSection(signal, redraw, admin)),
    admin ? await section("keys", () => keysSection(signal, redraw)) : null,
    pageSection(redraw),
    admin ? auditSection(signal) : null,
  );
}

/** A part that may fail by itself. */
async function section(key, build) {
  try {
    return await build();
  } catch (error) {
    return block(`settings.${key}`, problemBox(error));
  }
}

function block(key, ...content) {
  const id = `${key.replaceAll(".", "-")}-heading`;
  return h("section", { class: "section", "aria-labelledby": id }, h("h2", { id }, t(key)), content);
}

function row(name, value, help) {
  return h("div", { class: "row" }, h("div", { class: "row-text" }, h("span", {}, name), help ? h("span", { class: "help" }, help) : null), h("div", { class: "row-value" }, value));
}

function thresholdSection(pool, settings, admin, redraw) {
  const fixed = settings.threshold !== null && settings.threshold !== undefined;
  const state = { value: pool.threshold, fixed };
  const big = h("div", { class: "big" });
  const meaning = h("p", { class: "quiet" });
  const chart = curveChart(pool.curve ?? []);
  const [least, most] = chart.range ?? [0.2, 0.7];
  const slider = h("input", { type: "range", min: String(least), max: String(most), step: "0.005", value: String(pool.threshold), "aria-label": t("settings.threshold"), disabled: !admin || !fixed });
  const show = () => {
    big.textContent = number(state.value, 3);
    meaning.textContent = rateWords(pool.curve, state.value) ?? pool.meaning;
    slider.setAttribute("aria-valuetext", `${number(state.value, 3)}: ${meaning.textContent}`);
    chart.show(state.value);
  };
  let waiting = 0;
  slider.addEventListener("input", () => {
    state.value = Number(slider.value);
    show();
    clearTimeout(waiting);
    waiting = setTimeout(() => save(state.value), SAVE_AFTER_MS);
  });
  const save = (value) =>
    attempt(async () => {
      await api.changeSettings({ threshold: value });
      toast(value === null ? t("settings.threshold.auto") : t("settings.threshold.saved", { value: number(value, 3) }));
      if (value === null) redraw();
    });
  const follow = toggle(t("settings.threshold.auto"), !fixed, (on) => {
    slider.disabled = on;
    save(on ? null : state.value);
  }, t("settings.threshold.auto.help"));
  follow.querySelector("input").disabled = !admin;
  show();
  return block(
    "settings.threshold",
    h("p", { class: "help" }, t("settings.threshold.help")),
    h(
      "div",
      { class: "rows" },
      h("div", { class: "row" }, h("div", { class: "row-text threshold" }, h("div", {}, big, meaning), h("div", { class: "plot" }, chart.element, slider))),
      follow,
      admin ? calibrationRow(pool, redraw) : null,
    ),
  );
}

/** "about 1 in 400 strangers would be named", read off the curve [{similarity, fpir}]. */
function rateWords(curve, value) {
  if (!curve?.length) return null;
  const rate = rateAt(curve, value);
  return rate >= 0.5 ? t("settings.threshold.most") : t("settings.threshold.rate", { n: rounded(1 / rate) });
}

/** Between points, log-linear as the error curve is. */
function rateAt(curve, value) {
  const after = curve.findIndex((point) => point.similarity >= value);
  if (after === 0) return curve[0].fpir;
  if (after < 0) return curve.at(-1).fpir;
  const [a, b] = [curve[after - 1], curve[after]];
  const share = (value - a.similarity) / (b.similarity - a.similarity);
  return Math.exp(Math.log(a.fpir) * (1 - share) + Math.log(b.fpir) * share);
}

function rounded(value) {
  const size = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.round(value / size) * size;
}

function calibrationRow(pool, redraw) {
  const { calibration } = pool;
  const words = calibration
    ? t("settings.calibrate.done", { date: date(new Date(calibration.created_at)), people: t("people.count", { n: calibration.people }), templates: t("templates.count", { n: calibration.templates }) })
    : t("settings.calibrate.never");
  const go = h("button", { class: "button", type: "button" }, t("settings.calibrate.go"));
  go.addEventListener("click", async () => {
    go.disabled = true;
    await attempt(api.calibrate, () => (toast(t("settings.calibrated")), redraw()));
    go.disabled = false;
  });
  return h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, t("settings.calibrate")), h("span", { class: "help" }, `${t("settings.calibrate.help")} ${words}`)), go);
}

function poolSection(pool, admin, redraw) {
  const input = h("input", { type: "file", class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) attempt(async () => toast(t("people.imported", { n: (await api.importPool(file)).imported })), redraw);
  });
  const give = h("button", { class: "button", type: "button", onclick: () => attempt(() => api.exportPool("pool.db")) }, icon("download"), t("settings.pool.export"));
  const take = h("button", { class: "button", type: "button", onclick: () => input.click() }, icon("upload"), t("settings.pool.import"));
  return block(
    "settings.pool",
    h(
      "div",
      { class: "rows" },
      row(t("settings.pool.people"), number(pool.people)),
      row(t("settings.pool.templates"), number(pool.templates)),
      admin ? row(t("settings.pool.export"), give, t("settings.pool.export.help")) : null,
      admin ? row(t("settings.pool.import"), [take, input], t("settings.pool.import.help")) : null,
    ),
  );
}

/** What the server keeps of people whom it sees; each is off until somebody says yes. */
function seenSection(settings, admin, redraw) {
  const change = (name, value, off) => async (on) => {
    const withdrawn = name === "keep_unknown" && !on;
    if (withdrawn && !(await confirm({ title: t("unknown.stop.title"), text: t("unknown.stop.help"), go: t("unknown.stop"), danger: true }))) return redraw();
    await attempt(async () => {
      await api.changeSettings({ [name]: on ? value : off });
      toast(t("settings.seen.saved"));
    });
    redraw();
  };
  const rows = [
    toggle(t("settings.seen.unknown"), settings.keep_unknown, change("keep_unknown", true, false), t("settings.seen.unknown.help")),
    toggle(t("settings.seen.recognized"), settings.keep_recognized || settings.refresh === "suggest", change("keep_recognized", true, false), t("settings.seen.recognized.help")),
    toggle(t("settings.seen.suggest"), settings.refresh === "suggest", change("refresh", "suggest", "off"), t("settings.seen.suggest.help")),
  ];
  for (const one of rows) one.querySelector("input").disabled = !admin;
  rows[1].querySelector("input").disabled ||= settings.refresh === "suggest"; // suggestions come out of what is kept
  return block("settings.seen", h("p", { class: "help" }, t("settings.seen.help")), h("div", { class: "rows" }, rows));
}

function engineSection(system) {
  const models = system.models ?? [];
  return block(
    "settings.engine",
    h(
      "div",
      { class: "rows" },
      system.runs_on ? row(t("settings.engine.device"), system.runs_on) : null,
      models.map((model) => {
        const licence = model.licence;
        const words = [`${t("settings.engine.licence")}: ${licence.name}`, licence.summary].filter(Boolean).join(". ");
        return row(t(model.task === "detect" ? "settings.engine.detector" : "settings.engine.embedder"), model.name, words);
      }),
      system.space ? row(t("settings.engine.space"), h("span", { class: "mono" }, system.space)) : null,
      system.version ? row(t("settings.engine.version"), system.version) : null,
      system.pool ? row(t("settings.engine.pool"), h("span", { class: "mono" }, system.pool)) : null,
      (system.owed ?? []).map((line) => row(t("settings.engine.owed"), line)),
    ),
  );
}

async function camerasSection(signal, redraw, admin) {
  const { cameras } = await api.cameras(signal);
  const rows = cameras.map((camera) =>
    h(
      "div",
      { class: "row" },
      h("img", { class: "thumb", src: `${api.cameraPicture(camera.id)}?at=${Date.now()}`, alt: "", onerror: (event) => event.target.remove() }),
      h("div", { class: "row-text" }, h("a", { href: `#/live?camera=${encodeURIComponent(camera.id)}` }, camera.name), h("span", { class: "help" }, [translated(`camera.state.${camera.state}`, camera.state), camera.reason, turnWords(camera)].filter(Boolean).join(" · "))),
      admin ? h("button", { class: "icon-button", type: "button", "aria-label": t("settings.cameras.remove", { name: camera.name }), onclick: () => removeCamera(camera, redraw) }, icon("trash")) : null,
    ),
  );
  const more = admin ? h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: () => addCamera(redraw) }, icon("plus"), t("settings.cameras.add"))) : null;
  return block("settings.cameras", h("p", { class: "help" }, t("settings.cameras.help")), h("div", { class: "rows" }, rows.length ? rows : h("div", { class: "row quiet" }, t("settings.cameras.none")), more));
}

/** How a camera's pictures are turned, if they are. */
function turnWords({ rotate, turned }) {
  if (rotate === "auto" && turned === null) return t("settings.cameras.rotate.auto");
  return turned ? t("settings.cameras.rotate.by", { n: turned }) : null;
}

async function addCamera(redraw) {
  const source = h("input", { type: "text", required: true, autocomplete: "off", autofocus: true, spellcheck: "false", name: "source" });
  const name = h("input", { type: "text", autocomplete: "off", maxlength: 60, name: "name" });
  const rotate = h("select", { name: "rotate" }, h("option", { value: "" }, t("settings.cameras.rotate.default")), TURNS.map((turn) => h("option", { value: turn }, turn === "auto" ? t("settings.cameras.rotate.auto") : t("settings.cameras.rotate.by", { n: Number(turn) }))));
  const user = h("input", { type: "text", autocomplete: "off", maxlength: 200, spellcheck: "false", name: "user" });
  const password = h("input", { type: "password", autocomplete: "new-password", maxlength: 200, name: "password" });
  const every = h("input", { type: "number", name: "every", min: "0.1", max: "86400", step: "any", inputmode: "decimal" });
  const save = () => {
    const given = { source: source.value.trim(), name: name.value.trim() };
    if (user.value) given.user = user.value;
    if (password.value) given.password = password.value;
    if (rotate.value) given.rotate = rotate.value;
    if (every.value) given.every = Number(every.value);
    return api.addCamera(given);
  };
  const more = h(
    "details",
    { class: "inset" },
    h("summary", {}, t("register.more")),
    h("div", { class: "form" }, field(t("settings.cameras.user"), user, t("settings.cameras.user.help")), field(t("settings.cameras.password"), password), field(t("settings.cameras.rotate"), rotate, t("settings.cameras.rotate.help")), field(t("settings.cameras.every"), every, t("settings.cameras.every.help"))),
  );
  const added = await form({ title: t("settings.cameras.add"), fields: [field(t("settings.cameras.source"), source, t("settings.cameras.source.help")), field(t("settings.cameras.name"), name), more], go: t("settings.cameras.add"), save });
  if (added) redraw();
}

async function removeCamera(camera, redraw) {
  const { name } = camera;
  if (await confirm({ title: t("settings.cameras.remove.title", { name }), text: t("settings.cameras.remove.help"), go: t("person.remove"), danger: true })) await attempt(() => api.removeCamera(camera.id), redraw);
}

async function keysSection(signal, redraw) {
  const { keys, required } = await api.keys(signal);
  const rows = keys.map((key) =>
    h(
      "div",
      { class: "row" },
      icon("key"),
      h("div", { class: "row-text" }, h("span", {}, key.name), h("span", { class: "help" }, [translated(`role.${key.role}`, key.role), key.last_used_at ? t("settings.keys.used", { when: dateTime(new Date(key.last_used_at)) }) : t("settings.keys.unused")].join(" · "))),
      h("button", { class: "icon-button", type: "button", "aria-label": t("settings.keys.remove", { name: key.name }), onclick: () => removeKey(key.name, redraw) }, icon("trash")),
    ),
  );
  const make = h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: () => addKey(redraw, required) }, icon("plus"), t("settings.keys.add")));
  return block("settings.keys", h("p", { class: "help" }, t("settings.keys.help")), h("div", { class: "rows" }, rows.length ? rows : h("div", { class: "row quiet" }, t("settings.keys.none")), make));
}

async function addKey(redraw, required) {
  const name = h("input", { type: "text", required: true, autocomplete: "off", maxlength: 60, autofocus: true, name: "name" });
  const roles = required ? ROLES : ["admin"]; // until there is an administrator's, other keys would protect nothing
  const role = h("select", { name: "role" }, roles.map((value) => h("option", { value }, t(`role.${value}`))));
  const save = () => api.addKey(name.value.trim(), role.value);
  const made = await form({ title: t("settings.keys.add"), fields: [field(t("settings.keys.name"), name), field(t("settings.keys.role"), role, required ? null : t("settings.keys.first"))], go: t("settings.keys.add"), save });
  if (!made) return;
  await ask((close) => {
    const copy = h("button", { class: "button small", type: "button" }, t("settings.keys.copy"));
    copy.addEventListener("click", async () => {
      await navigator.clipboard?.writeText(made.key);
      copy.textContent = t("settings.keys.copied");
      announce(copy.textContent);
    });
    return h(
      "div",
      { class: "form" },
      h("h2", {}, t("settings.keys.made", { name: made.name })),
      h("p", { class: "help" }, t("settings.keys.made.help")),
      h("div", { class: "secret" }, h("span", { class: "mono" }, made.key), copy),
      h("div", { class: "actions" }, h("button", { class: "button primary", type: "button", onclick: () => close() }, t("close"))),
    );
  });
  redraw();
}

async function removeKey(name, redraw) {
  if (await confirm({ title: t("settings.keys.remove.title", { name }), text: t("settings.keys.remove.help"), go: t("person.remove"), danger: true })) await attempt(() => api.removeKey(name), redraw);
}

function pageSection(redraw) {
  const language = segments(t("settings.language"), [["auto", t("settings.language.auto")], ...Object.entries(LANGUAGES)], chosenLanguage(), (value) => (chooseLanguage(value), redraw()));
  const themes = ["auto", "light", "dark"].map((value) => [value, t(`settings.theme.${value}`)]);
  const theme = segments(t("settings.theme"), themes, recall("facepool.theme") ?? "auto", chooseTheme);
  const given = consentGiven();
  const withdraw = h("button", { class: "button", type: "button", onclick: () => (withdrawConsent(), redraw()) }, t("settings.consent.withdraw"));
  return block(
    "settings.page",
    h(
      "div",
      { class: "rows" },
      h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, t("settings.language"))), language),
      h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, t("settings.theme"))), theme),
      row(t("settings.consent"), given ? withdraw : null, given ? t("settings.consent.given", { date: dateTime(given) }) : t("settings.consent.none")),
    ),
  );
}

function chooseTheme(value) {
  remember("facepool.theme", value === "auto" ? null : value);
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}

function auditSection(signal) {
  const list = h("div", { class: "rows" });
  const show = async () => {
    const { entries } = await api.audit(signal);
    put(list, entries.length ? entries.map((entry) => row(translated(`audit.${entry.action.replaceAll(" ", "_")}`, entry.action), dateTime(new Date(entry.at)), [entry.caller, entry.person, entry.detail, entry.liveness && t(`check.reason.${entry.liveness.reason}`)].filter(Boolean).join(" · "))) : h("div", { class: "row quiet" }, t("settings.audit.empty")));
  };
  add(list, row(t("settings.audit"), h("button", { class: "button", type: "button", onclick: () => attempt(show) }, t("settings.audit.show")), t("settings.audit.help")));
  return block("settings.audit", list);
}
