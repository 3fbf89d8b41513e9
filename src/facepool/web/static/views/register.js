// Register: the head looks around in a circle, the ring fills, and what was captured is looked at before it is saved.
import { ApiError, api, closedError } from "../api.js";
import { Camera, askForConsent, cameraProblem } from "../camera.js";
import { confirm, problemBox } from "../dialogs.js";
import { add, announce, field, h, put, toggle } from "../dom.js";
import { FrameStream } from "../frames.js";
import { listed, number, percent, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { recall, remember } from "../memory.js";
import { Ring, side, way } from "../ring.js";
import { addPhotos } from "./photos.js";

const SPEAK = "facepool.speak";
const HINT_STAYS_MS = 700;
const SPEAK_AGAIN_MS = 4000;
const EMPTY_RING = Array.from({ length: 12 }, (_, index) => ({ angle_deg: index * 30, near: null, far: null }));
const FACE_FILLS = 0.62;
const LARGEST_ZOOM = 2.4;

export async function showRegister(page, { query, ready }) {
  page.classList.add("narrow");
  const session = { scan: null };
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
    put(page, form(options, begin, problem));
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

function form({ person = "", appearance = "", partial = false }, begin, problem) {
  const name = h("input", { type: "text", value: person, placeholder: t("register.name.placeholder"), autocomplete: "off", maxlength: 100, required: true, name: "person" });
  const look = h("input", { type: "text", value: appearance, placeholder: t("register.appearance.placeholder"), autocomplete: "off", maxlength: 60, name: "appearance" });
  const options = { partial };
  const submit = (event) => {
    event.preventDefault();
    begin({ person: name.value.trim(), appearance: look.value.trim(), ...options });
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
  const files = h("button", { class: `button ${problem ? "primary large" : "plain"}`, type: "button", onclick: () => addPhotos(name.value.trim()) }, problem ? icon("photo") : null, t("register.files"));
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
      more,
      h("div", { class: "actions" }, problem ? [files, start] : [start, files]),
    ),
  );
}

const speaks = () => recall(SPEAK) === "1";

/** One scan, from the camera's start until the views are saved. */
class ScanPage {
  constructor(page, options, back) {
    Object.assign(this, { page, options, back, mirrored: true, camera: null, stream: null, ring: null });
    this.holdsViews = false;
    this.last = null;
    this.wanted = null;
    this.report = null;
    this.said = { text: "", at: 0 };
    this.hint = h("p", { class: "hint" }, t("register.waiting"));
    this.progress = h("p", { class: "progress-line" });
    this.below = h("div", { class: "actions" });
    this.video = h("video", { playsInline: true, muted: true, "aria-hidden": "true" });
    this.mover = h("div", { class: "mover" }, this.video);
    this.ring = new Ring(t("register.ring"), true, (direction) => this.redo(direction));
    this.stage = h("div", { class: "stage" }, h("div", { class: "window" }, this.mover, h("div", { class: "veil" })), this.ring.element);
    this.result = h("div", { class: "result" });
    this.heading = h("h1", { class: "visually-hidden" }, `${t("register.title")}: ${options.person}`);
    put(page, h("div", { class: "scan" }, this.heading, this.stage, h("div", {}, this.hint, this.progress), this.below, this.result));
    this.drawRing({ parts: EMPTY_RING, steady: 0 });
    this.showScanButtons(false);
  }

  async start() {
    try {
      this.camera = await Camera.open(this.video);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!this.page.contains(this.stage)) return this.stop(); // the user has left meanwhile
    this.mirrored = this.ring.mirrored = this.camera.facesUser;
    this.video.classList.toggle("mirrored", this.mirrored);
    this.camera.onend = () => this.fail(Object.assign(new Error(t("camera.busy")), { title: t("camera.busy.title") }));
    this.say(t("hint.look_straight"));
    const { person, appearance, partial } = this.options;
    this.stream = new FrameStream({
      path: "v1/enroll",
      hello: { do: "start", person, appearance, partial },
      take: () => this.camera.take(),
      answer: (message) => this.take(message),
      lost: (closed) => this.fail(closedError(closed)),
      again: false,
    });
  }

  stop() {
    this.holdsViews = false;
    this.stream?.close();
    this.camera?.stop();
    speechSynthesis?.cancel();
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

  /** Brings the face into the circle, as large as it may be. */
  follow({ bbox: box, size }) {
    if (!box || !size) return;
    const [width, height] = size;
    const short = Math.min(width, height);
    const face = Math.max(box[2] - box[0], box[3] - box[1]);
    const zoom = Math.min(LARGEST_ZOOM, Math.max(1, (FACE_FILLS * short) / face));
    const most = (zoom - 1) / 2;
    const limited = (value, spare) => Math.max(-most - spare, Math.min(most + spare, value));
    const x = limited((zoom * (width / 2 - (box[0] + box[2]) / 2)) / short, (zoom * (width / short - 1)) / 2);
    const y = limited((zoom * (height / 2 - (box[1] + box[3]) / 2)) / short, (zoom * (height / short - 1)) / 2);
    const moved = Math.hypot(x - (this.at?.x ?? 9), y - (this.at?.y ?? 9)) > 0.05 || Math.abs(zoom - (this.at?.zoom ?? 0)) > 0.2;
    if (!moved) return;
    this.at = { x, y, zoom };
    this.mover.style.transform = `translate(${(this.mirrored ? -x : x) * 100}%, ${y * 100}%) scale(${zoom})`;
  }

  /** Shows a hint for long enough to be read, and tells it to screen readers and, if wanted, aloud; whether it stands. */
  say(text) {
    const now = performance.now();
    if (text === this.said.text) return true;
    if (now - this.said.at < HINT_STAYS_MS) return false;
    this.said = { text, at: now };
    this.hint.textContent = text;
    announce(text);
    if (speaks()) speak(text);
    return true;
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
    this.camera.canvas.classList.toggle("mirrored", this.mirrored);
    this.video.replaceWith(this.camera.canvas); // the last picture stays when the camera is off
    this.stop();
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
    if (message.fatal) this.fail(error);
    else {
      this.result.querySelectorAll(".notice.bad").forEach((old) => old.remove());
      this.result.prepend(problemBox(error));
      const store = this.below.querySelector("button");
      if (store) store.disabled = false;
    }
  }

  fail(error) {
    this.stop();
    this.hint.textContent = error.title ?? t("error.title");
    this.progress.textContent = "";
    put(this.result, problemBox(error));
    put(
      this.below,
      h("button", { class: "button primary", type: "button", onclick: () => this.back() }, t("retry")),
    );
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

/** Speaks with a voice of this device only: others would send the words to their maker. */
function speak(text) {
  const voices = speechSynthesis.getVoices().filter((voice) => voice.localService && voice.lang.startsWith(document.documentElement.lang));
  if (!voices.length) return;
  const words = Object.assign(new SpeechSynthesisUtterance(text), { voice: voices[0], lang: voices[0].lang, rate: 1.05 });
  if (text === speak.text && performance.now() - speak.at < SPEAK_AGAIN_MS) return;
  Object.assign(speak, { text, at: performance.now() });
  speechSynthesis.cancel();
  speechSynthesis.speak(words);
}
