// A head before the camera, in a circle with the ring around it. Below stands what the person does next; it is told to
// screen readers, and spoken if that is wanted.
import { Camera } from "./camera.js";
import { problemBox } from "./dialogs.js";
import { announce, h, put } from "./dom.js";
import { t } from "./i18n.js";
import { recall } from "./memory.js";
import { Ring } from "./ring.js";

export const SPEAK = "facepool.speak";
const HINT_STAYS_MS = 700;
const SPEAK_AGAIN_MS = 4000;
const FACE_FILLS = 0.62;
const LARGEST_ZOOM = 2.4;

export const speaks = () => recall(SPEAK) === "1";

export class HeadStage {
  /**
   * @param page where it is shown
   * @param heading for screen readers
   * @param ring what the ring is, for them
   * @param choose is called with the number of a direction that is selected
   * @param back is called to begin anew, after something went wrong
   */
  constructor(page, { heading, ring, choose = () => null, back }) {
    Object.assign(this, { page, back, mirrored: true, camera: null, stream: null });
    this.said = { text: "", at: 0 };
    this.hint = h("p", { class: "hint" }, t("register.waiting"));
    this.progress = h("p", { class: "progress-line" });
    this.below = h("div", { class: "actions" });
    this.result = h("div", { class: "result" });
    this.video = h("video", { playsInline: true, muted: true, "aria-hidden": "true" });
    this.mover = h("div", { class: "mover" }, this.video);
    this.ring = new Ring(ring, true, choose);
    this.stage = h("div", { class: "stage" }, h("div", { class: "window" }, this.mover, h("div", { class: "veil" })), this.ring.element);
    const title = h("h1", { class: "visually-hidden" }, heading);
    put(page, h("div", { class: "scan" }, title, this.stage, h("div", {}, this.hint, this.progress), this.below, this.result));
  }

  /** Whether the camera plays; what is wrong is shown. */
  async openCamera() {
    try {
      this.camera = await Camera.open(this.video);
    } catch (error) {
      this.fail(error);
      return false;
    }
    if (!this.page.contains(this.stage)) { // the user has left meanwhile
      this.stop();
      return false;
    }
    this.mirrored = this.ring.mirrored = this.camera.facesUser;
    this.video.classList.toggle("mirrored", this.mirrored);
    this.camera.onend = () => this.fail(Object.assign(new Error(t("camera.busy")), { title: t("camera.busy.title") }));
    return true;
  }

  stop() {
    this.stream?.close();
    this.camera?.stop();
    speechSynthesis?.cancel();
  }

  /** The last picture stays when the camera is off. */
  freeze() {
    if (this.camera) {
      this.camera.canvas.classList.toggle("mirrored", this.mirrored);
      this.video.replaceWith(this.camera.canvas);
    }
    this.stop();
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
  say(text, { atOnce = false } = {}) {
    const now = performance.now();
    if (text === this.said.text) return true;
    if (!atOnce && now - this.said.at < HINT_STAYS_MS) return false;
    this.said = { text, at: now };
    this.hint.textContent = text;
    announce(text);
    if (speaks()) speak(text);
    return true;
  }

  fail(error) {
    this.stop();
    this.hint.textContent = error.title ?? t("error.title");
    this.progress.textContent = "";
    put(this.result, problemBox(error));
    put(this.below, h("button", { class: "button primary", type: "button", onclick: () => this.back() }, t("retry")));
  }
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
