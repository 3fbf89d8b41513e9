// The browser's camera: consent first, then frames as JPEG.
import { ask } from "./dialogs.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { recall, remember } from "./memory.js";

const CONSENT = "facepool.consent";
const CONSENT_VERSION = "1";
const CHOSEN = "facepool.camera";
const LONG_SIDE = 640;
const QUALITY = 0.85;

/** When consent was given in this browser; null where it was not. */
export function consentGiven() {
  const [version, when] = (recall(CONSENT) ?? "").split(" ");
  return version === CONSENT_VERSION && when ? new Date(when) : null;
}

export const withdrawConsent = () => remember(CONSENT, null);

/** Why this device's camera cannot be used here, as an error with a title and a message for people; null where it can. */
export async function cameraProblem() {
  if (!window.isSecureContext) return cameraError("insecure");
  const policy = document.featurePolicy ?? document.permissionsPolicy;
  if (policy && !policy.allowsFeature("camera")) return cameraError("framed");
  if (!navigator.mediaDevices?.getUserMedia) return cameraError("unsupported");
  const permission = await navigator.permissions?.query({ name: "camera" }).catch(() => null); // not every browser knows it
  if (permission?.state === "denied") return cameraError("denied");
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => null);
  if (devices && !devices.some((device) => device.kind === "videoinput")) return cameraError("missing");
  return null;
}

/** Asks once in each browser, and only where the camera works; false if the user does not agree. Throws what is wrong. */
export async function askForConsent() {
  const problem = await cameraProblem();
  if (problem) throw problem;
  if (consentGiven()) return true;
  const agreed = await ask((close) => {
    const box = h("input", { type: "checkbox", required: true, onchange: () => (go.disabled = !box.checked) });
    const go = h("button", { class: "button primary", type: "submit", disabled: true }, t("consent.go"));
    const points = [["lock", "sent"], ["register", "looked"], ["people", "kept"], ["activity", "log"]];
    return h(
      "form",
      { class: "form", onsubmit: (event) => (event.preventDefault(), close(true)) },
      h("h2", {}, t("consent.title")),
      h("ul", { class: "points" }, points.map(([name, key]) => h("li", {}, icon(name), h("span", {}, t(`consent.${key}`, { host: location.host }))))),
      h("label", { class: "check" }, box, h("span", {}, t("consent.agree"))),
      h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => close(false) }, t("cancel")), go),
    );
  });
  if (agreed) remember(CONSENT, `${CONSENT_VERSION} ${new Date().toISOString()}`);
  return agreed === true;
}

export const chosenCamera = () => recall(CHOSEN) ?? "";
export const chooseCamera = (id) => remember(CHOSEN, id || null);

/** The cameras that the browser tells of: it names them only after one was allowed. */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "videoinput" && device.deviceId);
}

/** A camera that plays in a video element. Throws an error with a title and a message for people. */
export class Camera {
  static async open(video) {
    const problem = await cameraProblem();
    if (problem) throw problem;
    const size = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
    const id = chosenCamera();
    try {
      const wanted = id ? { ...size, deviceId: { ideal: id } } : { ...size, facingMode: "user" };
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      video.srcObject = stream;
      await video.play();
      return new Camera(video, stream);
    } catch (error) {
      throw cameraError({ NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing" }[error.name] ?? "busy");
    }
  }

  constructor(video, stream) {
    this.video = video;
    this.stream = stream;
    this.canvas = document.createElement("canvas");
    this.onend = null;
    for (const track of stream.getTracks()) track.addEventListener("ended", () => this.onend?.());
  }

  /** Whether the picture shows the person before it, who expects a mirror; a phone's back camera does not. */
  get facesUser() {
    return this.stream.getVideoTracks()[0]?.getSettings().facingMode !== "environment";
  }

  /** The picture of now, not mirrored: {blob, width, height}, or null where there is none yet. */
  async take() {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth || !videoHeight) return null;
    const shrink = Math.min(1, LONG_SIDE / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * shrink);
    const height = Math.round(videoHeight * shrink);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.canvas.getContext("2d", { alpha: false, willReadFrequently: true }).drawImage(this.video, 0, 0, width, height);
    const blob = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", QUALITY));
    return blob && { blob, width, height };
  }

  stop() {
    this.onend = null;
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
  }
}

function cameraError(kind) {
  return Object.assign(new Error(t(`camera.${kind}`)), { title: t(`camera.${kind}.title`), kind });
}
