// Live: boxes and names over a camera's picture, and who is in view.
import { ApiError, api, closedError } from "../api.js";
import { Camera, askForConsent, cameraProblem, chooseCamera, chosenCamera, listCameras } from "../camera.js";
import { checkLink, toast } from "../dialogs.js";
import { announce, h, put } from "../dom.js";
import { FrameStream } from "../frames.js";
import { number, t, time } from "../i18n.js";
import { icon } from "../icons.js";
import { drawLabels } from "../overlay.js";
import { portraits } from "../portraits.js";
import { correctButton } from "./correct.js";

const HERE = "here";
const PICTURE_EVERY_MS = 250;
const RATE_OVER_MS = 3000;

export async function showLive(page, { query, signal, session }) {
  const mayCorrect = session?.role !== "recognize";
  const watch = { source: query.get("camera") ?? HERE, player: null };
  const view = h("div", { class: "view" });
  const status = h("p", { class: "status-line" });
  const present = h("ul", { class: "present" });
  const aside = h("section", { class: "section", "aria-labelledby": "present-heading" }, h("h2", { id: "present-heading" }, t("live.present")), present);
  const stop = h("button", { class: "button", type: "button", hidden: true, onclick: () => idle() }, icon("stop"), t("live.stop"));
  const chooser = h("select", { "aria-label": t("live.source"), hidden: true, onchange: () => choose(chooser.value) });
  put(
    page,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("live.title")), h("p", { class: "help" }, t("live.lead"))), h("div", { class: "actions" }, chooser, stop)),
    h("div", { class: "live" }, h("div", {}, view, status), aside),
  );
  const people = portraits(signal);
  const showPresent = (entries) => listPresent(present, entries, people, mayCorrect);

  function idle(error) {
    watch.player?.stop();
    watch.player = null;
    stop.hidden = true;
    status.replaceChildren();
    showPresent([]);
    const go = h("button", { class: "button primary large", type: "button", onclick: start }, icon("camera"), t("live.start"));
    const photo = error?.kind ? h("a", { class: "button large", href: "#/photo" }, icon("photo"), t("camera.photo")) : null;
    const check = error ? checkLink(error) : null;
    put(
      view,
      h("div", { class: "empty", role: error ? "alert" : null }, icon(error ? "warn" : "live"), h("h2", {}, error?.title ?? t("live.idle.title")), h("p", {}, error?.message ?? t("live.idle")), h("div", { class: "actions" }, go, photo, check)),
    );
  }

  async function start() {
    watch.player?.stop();
    watch.player = null;
    const parts = { view, status, showPresent, people, fail: idle };
    if (watch.source === HERE) {
      try {
        if (!(await askForConsent())) return;
      } catch (error) {
        return idle(error);
      }
      watch.player = new HerePlayer(parts);
    } else watch.player = new ServerPlayer(parts, watch.source);
    stop.hidden = false;
    await watch.player.start();
    fillChooser();
  }

  async function choose(value) {
    const [kind, id] = split(value);
    if (kind === "device") chooseCamera(id);
    watch.source = kind === "server" ? id : HERE;
    if (watch.player || watch.source !== HERE) await start();
  }

  async function fillChooser() {
    const [here, there] = await Promise.all([listCameras().catch(() => []), api.cameras(signal).then((answer) => answer.cameras, () => [])]);
    const own = here.length ? here.map((device, index) => [`device:${device.deviceId}`, device.label || `${t("camera.choose")} ${index + 1}`]) : [[`device:`, t("live.here")]];
    const chosen = watch.source === HERE ? `device:${chosenCamera()}` : `server:${watch.source}`;
    const options = [...own, ...there.map((camera) => [`server:${camera.id}`, camera.name])];
    put(chooser, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
    if (options.some(([value]) => value === chosen)) chooser.value = chosen;
    chooser.hidden = options.length < 2;
  }

  idle(watch.source === HERE ? await cameraProblem() : null);
  fillChooser();
  if (watch.source !== HERE) start();
  api.pool(signal).then((pool) => pool.templates || put(status, t("live.empty_pool")), () => null);
  return { cleanup: () => watch.player?.stop() };
}

const split = (value) => [value.slice(0, value.indexOf(":")), value.slice(value.indexOf(":") + 1)];

/** This device's camera: its picture is shown at once, boxes follow when the server answers. */
class HerePlayer {
  constructor({ view, status, showPresent, fail }) {
    Object.assign(this, { view, status, showPresent, fail, stopped: false, answers: [], present: new Map() });
    this.video = h("video", { playsInline: true, muted: true, "aria-label": t("live.picture") });
    this.canvas = h("canvas", { "aria-hidden": "true" });
  }

  async start() {
    put(this.view, h("div", { class: "spinner", role: "status", "aria-label": t("register.waiting") }), this.video, this.canvas);
    try {
      this.camera = await Camera.open(this.video);
    } catch (error) {
      if (!this.stopped) this.fail(error);
      return;
    }
    if (this.stopped) return this.camera.stop();
    this.mirrored = this.camera.facesUser;
    this.video.classList.toggle("mirrored", this.mirrored);
    this.view.style.aspectRatio = `${this.video.videoWidth} / ${this.video.videoHeight}`;
    this.camera.onend = () => this.fail(Object.assign(new Error(t("camera.busy")), { title: t("camera.busy.title") }));
    this.stream = new FrameStream({
      path: "v1/live",
      take: () => this.takeFrame(),
      answer: (message, took) => this.take(message, took),
      lost: (closed) => (closed.again ? toast(t("socket.lost"), "warn") : this.fail(closedError(closed))),
    });
  }

  async takeFrame() {
    const frame = await this.camera.take();
    if (frame) this.size = [frame.width, frame.height];
    return frame;
  }

  take(message, took) {
    if (message.type === "error") return this.fail(Object.assign(new ApiError(0, message), { title: t("error.title") }));
    if (message.dropped || !message.faces) return;
    const now = performance.now();
    this.answers = [...this.answers.filter((at) => now - at < RATE_OVER_MS), now];
    const confirmed = message.faces.filter((face) => face.told);
    drawLabels(this.canvas, message.size ?? this.size, confirmed.map(labelOf), this.mirrored);
    keepPresent(this.present, confirmed, this.showPresent);
    message.events?.forEach(sayEvent);
    const rate = this.answers.length / Math.max(1, Math.min(RATE_OVER_MS, now - this.answers[0]) / 1000);
    put(this.status, h("span", {}, t("live.fps", { n: Math.round(rate) })), h("span", {}, t("live.latency", { n: Math.round(took) })));
    if (this.stream.dropped) this.status.append(h("span", {}, t("live.dropped", { n: this.stream.dropped })));
    tellWhatIsWrong(this.status, message);
  }

  stop() {
    this.stopped = true;
    this.view.style.aspectRatio = "";
    this.stream?.close();
    this.camera?.stop();
  }
}

/** A camera of the server: its newest picture, with boxes, again and again. */
class ServerPlayer {
  constructor({ view, status, showPresent, fail }, id) {
    Object.assign(this, { view, status, showPresent, fail, id, stopped: false, present: null });
    this.image = h("img", { alt: t("live.picture") });
  }

  async start() {
    put(this.view, h("div", { class: "spinner", role: "status", "aria-label": t("loading") }), this.image);
    this.next();
  }

  async next() {
    if (this.stopped) return;
    const began = performance.now();
    const loaded = await load(this.image, `${api.cameraPicture(this.id)}?at=${Date.now()}`);
    if (this.stopped) return;
    const camera = await api.cameras().then((answer) => answer.cameras.find((one) => String(one.id) === this.id), () => undefined);
    if (this.stopped) return;
    if (!camera) return this.fail(Object.assign(new Error(t("camera.busy")), { title: t("camera.missing.title") }));
    put(this.status, h("span", {}, t(`camera.state.${camera.state}`)), loaded && camera.fps ? h("span", {}, t("live.fps", { n: Math.round(camera.fps) })) : null);
    tellWhatIsWrong(this.status, camera);
    this.tellPresent(camera.present ?? []);
    setTimeout(() => this.next(), Math.max(loaded ? 20 : 1000, PICTURE_EVERY_MS - (performance.now() - began)));
  }

  /** Tells who is there only when somebody else is. */
  tellPresent(present) {
    const said = JSON.stringify(present.map(({ track, person, reason, sighting }) => [track, person, reason, sighting]));
    if (said === this.present) return;
    this.present = said;
    this.showPresent(present.map((one) => ({ track: one.track, person: one.person, reason: one.reason, sighting: one.sighting, since: new Date(one.since) })));
  }

  stop() {
    this.stopped = true;
  }
}

function load(image, source) {
  return new Promise((resolve) => {
    const next = new Image();
    next.onload = () => {
      image.src = next.src;
      resolve(true);
    };
    next.onerror = () => resolve(false);
    next.src = source;
  });
}

function labelOf(face) {
  const decided = face.reason !== "undecided";
  if (face.person) return { box: face.bbox, text: face.person, detail: number(face.similarity, 2), kind: "known" };
  return { box: face.bbox, text: decided ? t("stranger") : "", kind: decided ? "unknown" : "open", optional: true };
}

/** While the database is away, people are those of before; while the index is behind, some may be missed. */
function tellWhatIsWrong(status, { outage, behind }) {
  const warn = (words) => status.append(h("strong", { class: "badge warn" }, words));
  if (outage) {
    const [since, asOf] = [outage.since, outage.as_of].map((at) => at && time(new Date(at)));
    warn(asOf ? t("live.outage", { since, asOf }) : t("live.outage.nobody", { since }));
  }
  if (behind) warn(t(`live.behind.${behind.reason}`, { n: behind.templates, since: time(new Date(behind.since)) }));
}

/** Who is in view, with since when; tells of it only when something is new. */
function keepPresent(present, faces, show) {
  const now = new Map(
    faces.map((face) => {
      const before = present.get(face.track);
      const since = before?.person === face.person ? before.since : new Date();
      return [face.track, { track: face.track, person: face.person, reason: face.reason, sighting: face.sighting, since }];
    }),
  );
  const changed = now.size !== present.size || [...now].some(([track, entry]) => present.get(track)?.person !== entry.person || present.get(track)?.reason !== entry.reason || present.get(track)?.sighting !== entry.sighting);
  present.clear();
  for (const [track, entry] of now) present.set(track, entry);
  if (changed) show([...now.values()]);
}

function listPresent(list, entries, people, mayCorrect) {
  if (!entries.length) return put(list, h("li", { class: "quiet" }, t("live.present.none")));
  return put(
    list,
    entries.map(({ person, reason, since, sighting }) => {
      const name = person ? h("a", { href: `#/people/${encodeURIComponent(person)}` }, person) : h("span", {}, reason === "undecided" ? t("live.undecided") : t("stranger"));
      return h("li", {}, people.face(person) ?? h("span", { class: "face" }, icon("register")), h("div", { class: "row-text" }, name, h("span", { class: "help" }, t("live.since", { time: time(since) }))), mayCorrect && reason !== "undecided" ? correctButton({ sighting, person }) : null);
    }),
  );
}

function sayEvent(event) {
  if (event.event === "recognized" || (event.event === "changed" && event.person)) announce(t("live.said.recognized", { person: event.person }));
  if (event.event === "lost" && event.person) announce(t("live.said.lost", { person: event.person }));
}
