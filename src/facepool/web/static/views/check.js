// Is somebody really there? The head turns as the server asks, one way after another; then it is said who that was.
import { ApiError, api, closedError } from "../api.js";
import { askForConsent, cameraProblem } from "../camera.js";
import { problemBox } from "../dialogs.js";
import { announce, h, put, toggle } from "../dom.js";
import { FrameStream } from "../frames.js";
import { HeadStage, SPEAK, speaks } from "../headstage.js";
import { percent, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { remember } from "../memory.js";
import { Ring, side, way } from "../ring.js";
import { meter } from "./photo.js";
import { dropZone } from "./photos.js";

const EMPTY_RING = Array.from({ length: 8 }, (_, index) => ({ angle_deg: index * 45, near: null, far: null }));

const shown = { token: null };
/** The token of a check that was made to register somebody; it is handed out once. */
export function takeToken() {
  const { token } = shown;
  shown.token = null;
  return token;
}

export async function showCheck(page, { query, ready }) {
  page.classList.add("narrow");
  const session = { check: null };
  const begin = async (options) => {
    try {
      if (!(await askForConsent())) return;
    } catch (error) {
      return showForm(options, error);
    }
    session.check = new CheckPage(page, { ...options, register: query.get("register") }, () => showForm(options));
    ready();
    await session.check.start();
  };
  const showForm = (options = {}, problem = null) => {
    session.check?.stop();
    session.check = null;
    put(page, form(options, begin, problem));
    ready();
  };
  showForm({}, await cameraProblem());
  return { cleanup: () => session.check?.stop() };
}

function form({ partial = false, photo = null }, begin, problem) {
  const options = { partial, photo };
  const ring = new Ring(t("check.ring"), true, () => null);
  ring.show({ parts: EMPTY_RING, steady: 0, words: () => "" });
  ring.element.setAttribute("aria-hidden", "true");
  const place = h("div", {});
  const choose = ([file] = []) => {
    options.photo = file ?? null;
    const zone = dropZone({ text: file ? "" : t("check.photo.help"), button: t(file ? "photo.another" : "photo.choose"), multiple: false, take: choose, id: "check-photo" });
    if (file) zone.querySelector(".icon").replaceWith(h("img", { src: URL.createObjectURL(file), alt: t("check.photo") }));
    put(place, zone, file ? h("button", { class: "button small", type: "button", onclick: () => choose() }, t("check.photo.none")) : null);
  };
  choose(photo ? [photo] : []);
  return h(
    "div",
    { class: "scan" },
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("check.title")), h("p", { class: "help" }, t("check.lead")))),
    h("div", { class: "stage intro", "aria-hidden": "true" }, h("div", { class: "window" }, h("div", { class: "ghost" }, icon("register"))), ring.element),
    h(
      "form",
      { class: "form result", onsubmit: (event) => (event.preventDefault(), begin(options)) },
      problem ? problemBox(problem) : null,
      h(
        "div",
        { class: "rows" },
        toggle(t("check.partial"), partial, (on) => (options.partial = on), t("check.partial.help")),
        toggle(t("register.speak"), speaks(), (on) => remember(SPEAK, on ? "1" : null), t("register.speak.help")),
      ),
      h("details", { class: "rows", open: Boolean(photo) }, h("summary", { class: "row" }, t("check.photo")), place),
      h("p", { class: "help" }, t("check.limits")),
      h("div", { class: "actions" }, h("button", { class: "button primary large", type: "submit" }, icon("camera"), t(problem ? "retry" : "register.start"))),
    ),
  );
}

/** One check, from the camera's start until it is said who that was. */
class CheckPage extends HeadStage {
  constructor(page, options, back) {
    super(page, { heading: t("check.title"), ring: t("check.ring"), back });
    this.options = options;
    this.done = [];
    this.wanted = null;
    this.step = 0;
    this.drawRing();
    put(this.below, h("button", { class: "button", type: "button", onclick: () => this.cancel() }, t("cancel")));
  }

  async start() {
    if (!(await this.openCamera())) return;
    this.say(t("hint.look_straight"), { atOnce: true });
    this.stream = new FrameStream({
      path: "v1/liveness",
      hello: { do: "start", partial: this.options.partial },
      take: () => this.camera.take(),
      answer: (message) => this.take(message),
      lost: (closed) => this.fail(closedError(closed)),
      again: false,
    });
  }

  cancel() {
    this.stop();
    this.back();
  }

  take(message) {
    const does = { liveness: this.showStep, result: this.showResult, error: this.showError }[message.type];
    does?.call(this, message);
  }

  showStep(told) {
    const { hint, step, steps, phase } = told;
    if (step > this.step && this.wanted !== null) this.done.push(this.wanted);
    this.step = step;
    if (phase === "turn") this.wanted = hint.angle_deg ?? this.wanted;
    this.say(hintWords(hint), { atOnce: hint.code === "turn" });
    this.drawRing({ facing: told.turn, wanted: phase === "turn" ? this.wanted : null, left: told.seconds_left / told.limit_s });
    this.progress.textContent = step ? t("check.step", { step, steps, n: Math.ceil(told.seconds_left) }) : t("check.first");
    this.follow(told);
  }

  /** The ring, with the ways that were followed, the one that is asked for, and how much of the time is left. */
  drawRing({ facing = null, wanted = null, left = 0, phase = "ring" } = {}) {
    const parts = EMPTY_RING.map((part) => (this.done.includes(part.angle_deg) ? { ...part, near: 100 } : part));
    this.ring.show({ parts, facing, wanted, steady: Math.min(left, 0.999), phase, words: (part) => side(part.angle_deg) });
  }

  async showResult(message) {
    const { liveness, liveness_token: token } = message;
    this.freeze();
    const words = translated(`check.reason.${liveness.reason}`, message.meaning);
    this.hint.textContent = t(liveness.passed ? "check.passed" : "check.failed");
    this.progress.textContent = words;
    const advice = liveness.passed ? "" : translated(`check.advice.${liveness.reason}`, "");
    announce(`${this.hint.textContent}. ${words} ${advice}`.trim());
    this.drawRing({ phase: liveness.passed ? "done" : "ring" });
    const again = h("button", { class: `button ${liveness.passed ? "" : "primary"} large`, type: "button", onclick: () => this.back() }, t(liveness.passed ? "check.again" : "retry"));
    put(this.below, again);
    again.focus();
    if (token && this.options.register) return this.goOn(token);
    if (!token) return put(this.result, notice(`${advice} ${t("check.failed.help")}`));
    put(this.result, h("div", { class: "spinner", role: "status", "aria-label": t("loading") }));
    try {
      put(this.result, this.options.photo ? compared(await api.verifyLive(token, this.options.photo)) : named(await api.recognizeLive(token)));
    } catch (error) {
      put(this.result, problemBox(error));
    }
    if (liveness.passive !== null) this.result.append(h("p", { class: "help" }, t("check.passive", { value: percent(liveness.passive) })));
    if (liveness.method === "challenge_partial") this.result.append(notice(t("check.partial.weaker")));
  }

  /** The person who was seen is registered next. */
  goOn(token) {
    shown.token = token;
    const go = h("a", { class: "button primary large", href: `#/register?person=${encodeURIComponent(this.options.register)}` }, icon("register"), t("check.register"));
    put(this.below, go);
    put(this.result);
    go.focus();
  }

  showError(message) {
    if (message.fatal) this.fail(new ApiError(0, message));
  }
}

function named({ live }) {
  const words = live.person ? t("check.is", { person: live.person }) : t("check.unknown");
  announce(words);
  return h(
    "section",
    { class: "card form" },
    h("h2", {}, live.person ? h("a", { href: `#/people/${encodeURIComponent(live.person)}` }, words) : words),
    live.person ? null : h("p", { class: "help" }, translated(`reason.${live.reason}`, live.reason)),
    live.similarity === null ? null : meter(live.similarity, live.threshold),
  );
}

function compared({ match, similarity, threshold }) {
  const words = t(match ? "check.same" : "check.different");
  announce(words);
  return h("section", { class: "card form" }, h("h2", {}, words), meter(similarity, threshold));
}

const hintWords = (hint) => translated(`hint.${hint.code}`, hint.text, { way: hint.angle_deg === null ? "" : way(hint.angle_deg) });

const notice = (text) => h("div", { class: "notice" }, icon("warn"), h("div", {}, text));
