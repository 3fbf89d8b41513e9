// Register: the head looks around in a circle, the ring fills, and what was captured is looked at before it is saved.
import { ApiError, api, closedError } from "../api.js";
import { askForConsent, cameraProblem } from "../camera.js";
import { confirm, problemBox } from "../dialogs.js";
import { add, announce, field, h, put, toggle } from "../dom.js";
import { FrameStream } from "../frames.js";
import { HeadStage, SPEAK, speaks } from "../headstage.js";
import { listed, number, percent, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { remember } from "../memory.js";
import { Ring, side, way } from "../ring.js";
import { takeToken } from "./check.js";
import { addPhotos } from "./photos.js";

const EMPTY_RING = Array.from({ length: 12 }, (_, index) => ({ angle_deg: index * 30, near: null, far: null }));

export async function showRegister(page, { query, ready }) {
  page.classList.add("narrow");
  const session = { scan: null };
  const asked = (await api.system().catch(() => ({}))).consent_text;
  const begin = async (options) => {
    try {
      if (!(await askForConsent())) return;
    } catch (error) {
      return showForm(options, error);
    }
    session.scan = new ScanPage(page, options, () => showForm(options));
    ready();
    await session.scan.start();
  };
  const showForm = (options = {}, problem = null) => {
    session.scan?.stop();
    session.scan = null;
    put(page, form(options, begin, problem, asked));
    ready();
  };
  showForm({ person: query.get("person") ?? "", appearance: query.get("appearance") ?? "" }, await cameraProblem());
  return {
    cleanup: () => session.scan?.stop(),
    mayLeave: async () =>
      !session.scan?.holdsViews ||
      confirm({ title: t("register.leave.title"), text: t("register.leave"), go: t("register.leave.go"), stay: t("register.leave.stay"), danger: true }),
  };
}

function form({ person = "", appearance = "", partial = false }, begin, problem, asked) {
  const name = h("input", { type: "text", value: person, placeholder: t("register.name.placeholder"), autocomplete: "off", maxlength: 100, required: true, name: "person" });
  const look = h("input", { type: "text", value: appearance, placeholder: t("register.appearance.placeholder"), autocomplete: "off", maxlength: 60, name: "appearance" });
  const options = { partial };
  const tick = asked ? h("input", { type: "checkbox", required: true, name: "consent" }) : null;
  const submit = (event) => {
    event.preventDefault();
    begin({ person: name.value.trim(), appearance: look.value.trim(), consent: Boolean(tick?.checked), ...options });
  };
  const more = h(
    "details",
    { class: "rows", open: Boolean(appearance || partial) },
    h("summary", { class: "row" }, t("register.more")),
    h("div", { class: "row" }, h("div", { class: "row-text" }, field(t("register.appearance"), look, t("register.appearance.help")))),
    toggle(t("register.speak"), speaks(), (on) => remember(SPEAK, on ? "1" : null), t("register.speak.help")),
    toggle(t("register.partial"), partial, (on) => (options.partial = on), t("register.partial.help")),
  );
  const start = h("button", { class: `button ${problem ? "" : "primary"} large`, type: "submit" }, icon("camera"), t(problem ? "retry" : "register.start"));
  const files = h("button", { class: `button ${problem ? "primary large" : "plain"}`, type: "button", onclick: () => (!tick || tick.reportValidity()) && addPhotos(name.value.trim(), [], Boolean(tick)) }, problem ? icon("photo") : null, t("register.files"));
  const ring = new Ring(t("register.ring"), true, () => null);
  ring.show({ parts: EMPTY_RING, steady: 0, words: () => "" });
  ring.element.setAttribute("aria-hidden", "true");
  return h(
    "div",
    { class: "scan" },
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("register.title")), h("p", { class: "help" }, t("register.lead")))),
    h("div", { class: "stage intro", "aria-hidden": "true" }, h("div", { class: "window" }, h("div", { class: "ghost" }, icon("register"))), ring.element),
    h(
      "form",
      { class: "form result", onsubmit: submit },
      problem ? problemBox(problem) : null,
      field(t("register.name"), name),
      tick ? h("label", { class: "card agree" }, h("span", { class: "notes" }, asked), h("span", {}, tick, " ", t("register.agree"))) : null,
      more,
      h("div", { class: "actions" }, problem ? [files, start] : [start, files]),
    ),
  );
}

/** One scan, from the camera's start until the views are saved. */
class ScanPage extends HeadStage {
  constructor(page, options, back) {
    super(page, { heading: `${t("register.title")}: ${options.person}`, ring: t("register.ring"), choose: (direction) => this.redo(direction), back });
    this.options = options;
    this.holdsViews = false;
    this.last = null;
    this.wanted = null;
    this.report = null;
    this.drawRing({ parts: EMPTY_RING, steady: 0 });
    this.showScanButtons(false);
  }

  async start() {
    if (!(await this.openCamera())) return;
    this.say(t("hint.look_straight"));
    const { person, appearance, partial, consent } = this.options;
    const token = takeToken();
    const live = token ? { liveness: token } : {};
    this.stream = new FrameStream({
      path: "v1/enroll",
      hello: { do: "start", ...live, person, appearance, partial, consent },
      take: () => this.camera.take(),
      answer: (message) => this.take(message),
      lost: (closed) => this.fail(closedError(closed)),
      again: false,
    });
  }

  stop() {
    this.holdsViews = false;
    super.stop();
  }

  take(message) {
    const does = { scan: this.showScan, report: this.showReport, stored: this.showStored, error: this.showError }[message.type];
    does?.call(this, message);
  }

  showScan(scan) {
    if (scan.dropped || this.report) return;
    this.last = scan;
    this.holdsViews ||= scan.steady >= 1;
    const covered = scan.ring.filter(isCovered).length;
    if (this.say(hintWords(scan.hint, this.options.person))) this.wanted = scan.hint.angle_deg;
    this.drawRing({ parts: scan.ring, facing: scan.turn, wanted: this.wanted, steady: scan.steady, phase: scan.phase, selectable: scan.steady >= 1 });
    this.follow(scan);
    this.progress.textContent = scan.steady < 1 ? this.options.person : t("register.progress", { done: covered, all: scan.ring.length });
    this.showScanButtons(scan.can_finish);
    if (scan.phase === "done") this.finish();
  }

  drawRing(state) {
    this.ring.show({ ...state, words: sideWords });
  }

  showScanButtons(canFinish) {
    if (this.canFinish === canFinish && this.below.childElementCount) return;
    this.canFinish = canFinish;
    const finish = canFinish ? h("button", { class: "button primary large", type: "button", onclick: () => this.finish() }, icon("check"), t("register.finish")) : null;
    put(this.below, finish, h("button", { class: "button", type: "button", onclick: () => this.cancel() }, t("cancel")));
  }

  async cancel() {
    const really = !this.holdsViews || (await confirm({ title: t("register.leave.title"), text: t("register.leave"), go: t("register.leave.go"), stay: t("register.leave.stay"), danger: true }));
    if (!really) return;
    this.stop();
    this.back();
  }

  finish() {
    if (!this.stream?.sending) return;
    this.stream.sending = false;
    this.stream.command({ do: "finish" });
  }

  redo(direction) {
    const part = (this.report?.ring ?? this.last?.ring)?.[direction];
    if (!part) return;
    this.report = null;
    put(this.result);
    this.stage.classList.remove("done");
    this.stream.command({ do: "redo", direction });
    this.stream.sending = true;
    this.said = { text: "", at: 0 };
    announce(t("register.side.redone", { way: side(part.angle_deg) }));
    this.canFinish = null;
    this.showScanButtons(false);
  }

  showReport(report) {
    this.report = report;
    const { person } = report;
    this.stage.classList.add("done");
    const done = report.ring.every(isCovered);
    const thin = report.ring.map((part, index) => (part.thin && isCovered(part) ? index : -1)).filter((index) => index >= 0);
    this.drawRing({ parts: report.ring, thin, phase: done ? "done" : "enough", selectable: true });
    this.hint.textContent = t("register.report.title", { person });
    announce(this.hint.textContent);
    this.progress.textContent = t("register.redo.help");
    const open = report.look_alikes.filter((alike) => !alike.resolution);
    const store = h("button", { class: "button primary large", type: "button", disabled: open.length > 0 || report.views === 0, onclick: () => this.store(store) }, t("register.store", { person }));
    put(this.below, store, h("button", { class: "button", type: "button", onclick: () => this.cancel() }, t("cancel")));
    put(
      this.result,
      report.look_alikes.map((alike) => this.lookAlike(alike, report)),
      report.views === 0 ? notice("warn", t("register.report.none", { person })) : null,
      report.motion === "flat" ? notice("warn", t("register.report.flat", { person })) : null,
      report.partial ? notice("warn", t("register.report.partial", { person })) : null,
      thin.length ? notice("warn", t("register.report.thin", { ways: listed([...new Set(thin.map((index) => way(report.ring[index].angle_deg)))]) })) : null,
      facts([
        [t("register.report.directions"), `${number(report.ring.filter(isCovered).length)}/${number(report.ring.length)}`],
        [t("register.report.views"), number(report.views)],
        [t("register.report.quality"), report.quality === null ? "–" : number(Math.round(report.quality))],
        [t("register.report.misses"), report.miss_share === null ? "–" : percent(report.miss_share)],
      ]),
      h("p", { class: "help" }, t("register.report.misses.help")),
    );
    if (this.page.contains(document.activeElement) || document.activeElement === document.body) (open.length ? this.result.querySelector("button") : store)?.focus();
  }

  lookAlike(alike, { person }) {
    const other = alike.person;
    const resolve = (as) => this.stream.command({ do: "resolve", person: other, as });
    const answer = (as) =>
      h("button", { class: `button ${alike.resolution === as ? "primary" : ""}`, type: "button", "aria-pressed": String(alike.resolution === as), onclick: () => resolve(as) }, t(`register.look.${as}`));
    const guess = t(alike.probably_same ? "register.look.probably" : "register.look.perhaps");
    const matches = t("register.look.help", { matched: alike.views_matched, views: alike.views, other, similarity: number(alike.similarity, 2) });
    return h(
      "section",
      { class: "card look-alike", "aria-label": t("register.look", { other, person }) },
      h(
        "div",
        { class: "faces" },
        alike.sample === null ? null : h("img", { class: "face large", src: api.picture(other, alike.sample), alt: other }),
        h("div", {}, h("h2", {}, t("register.look", { other, person })), h("p", { class: "help" }, `${matches} ${guess}`)),
      ),
      h("p", {}, alike.resolution ? t(`register.look.${alike.resolution}.done`, { other }) : t("register.look.ask")),
      h("div", { class: "actions" }, answer("same"), answer("different")),
    );
  }

  store(button) {
    button.disabled = true;
    this.stream.command({ do: "store" });
  }

  showStored({ person, stored }) {
    this.freeze();
    this.hint.textContent = t("register.stored.title", { person });
    this.progress.textContent = t("register.stored", { n: stored });
    announce(`${this.hint.textContent}. ${this.progress.textContent}`);
    this.drawRing({ parts: this.report.ring, phase: "done" });
    put(
      this.below,
      h("a", { class: "button primary large", href: "#/live" }, icon("live"), t("register.stored.live")),
      h("a", { class: "button", href: `#/people/${encodeURIComponent(person)}` }, t("register.stored.person", { person })),
      h("button", { class: "button", type: "button", onclick: () => this.back() }, t("register.stored.another")),
    );
    put(this.result);
    this.below.querySelector("a").focus();
  }

  showError(message) {
    const error = Object.assign(new ApiError(0, message), { title: message.fatal ? t("register.failed.title") : undefined });
    if (message.fatal) this.fail(Object.assign(error, { person: this.options.person }));
    else {
      this.result.querySelectorAll(".notice.bad").forEach((old) => old.remove());
      this.result.prepend(problemBox(error));
      const store = this.below.querySelector("button");
      if (store) store.disabled = false;
    }
  }
}

const isCovered = (part) => part.near !== null || part.far !== null;

function sideWords(part, thin) {
  const values = { way: side(part.angle_deg), quality: Math.round(Math.max(part.near ?? 0, part.far ?? 0)) };
  if (!isCovered(part)) return t("register.side.missing", values);
  return t(thin ? "register.side.thin" : "register.side.captured", values);
}

function hintWords(hint, person) {
  return translated(`hint.${hint.code}`, hint.text, { person, way: hint.angle_deg === null ? "" : way(hint.angle_deg) });
}

function notice(kind, text) {
  return h("div", { class: "notice" }, icon(kind), h("div", {}, text));
}

/** Figures with their names. */
export function facts(pairs) {
  return add(h("dl", { class: "facts" }), pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
