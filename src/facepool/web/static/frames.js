// Frames to the server and answers back, over a WebSocket. Never more than two frames are unanswered.
import { address } from "./api.js";

const MOST_IN_FLIGHT = 2;
const LEAST_WAIT_MS = 1000 / 30;
const RETRY_MS = [500, 1000, 2000, 5000];

/** The address of a WebSocket of this server. */
function socketAddress(path) {
  const url = new URL(address(path));
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/**
 * Sends what `take` gives, and hands each answer on.
 *
 * @param path of the WebSocket
 * @param hello the first message, or null
 * @param take gives the next frame as {blob, width, height}, or null while there is none
 * @param answer is called with each message of the server, and how long a frame's answer took
 * @param lost is called when the connection breaks: with {code, reason}, and whether it is tried again
 * @param again whether to connect anew after a break
 */
export class FrameStream {
  constructor({ path, hello = null, take, answer, lost, again = true }) {
    Object.assign(this, { path, hello, take, answer, lost, again });
    this.sending = true;
    this.closed = false;
    this.dropped = 0;
    this.answered = 0;
    this.number = 0;
    this.breaks = 0;
    this.sent = new Map();
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(socketAddress(this.path));
    this.socket.binaryType = "arraybuffer";
    this.ready = false;
    this.sent.clear();
    this.socket.addEventListener("open", () => {
      if (this.hello) this.command(this.hello);
      this.ready = true;
      this.pump();
    });
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.broken(event));
  }

  broken({ code, reason }) {
    this.ready = false;
    if (this.closed) return;
    const again = this.again && ![1008, 4401, 4403, 4409, 4428].includes(code);
    this.lost({ code, reason, again });
    if (!again) return this.close();
    this.retry = setTimeout(() => this.connect(), RETRY_MS[Math.min(this.breaks, RETRY_MS.length - 1)]);
    this.breaks += 1;
  }

  receive(message) {
    if (this.closed) return;
    let took = null;
    if ("frame" in message) {
      took = performance.now() - (this.sent.get(message.frame) ?? performance.now());
      this.sent.delete(message.frame);
      this.breaks = 0;
      if (message.dropped) this.dropped += 1;
      else this.answered += 1;
    }
    this.answer(message, took);
  }

  /** Sends frames for as long as the connection bears them. */
  async pump() {
    const socket = this.socket;
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.ready && !this.closed && socket === this.socket) {
        const began = performance.now();
        if (this.sending && this.sent.size < MOST_IN_FLIGHT && !document.hidden) await this.send(await this.take());
        await pause(Math.max(4, LEAST_WAIT_MS - (performance.now() - began)));
      }
    } finally {
      this.pumping = false;
    }
    if (this.ready && !this.closed) this.pump();
  }

  async send(frame) {
    if (!frame) return;
    const jpeg = new Uint8Array(await frame.blob.arrayBuffer());
    if (!this.ready || !this.sending || this.closed || this.socket.readyState !== WebSocket.OPEN) return;
    this.number += 1;
    const message = new Uint8Array(16 + jpeg.length);
    const head = new DataView(message.buffer);
    head.setBigUint64(0, BigInt(this.number));
    head.setFloat64(8, performance.now() / 1000);
    message.set(jpeg, 16);
    this.sent.set(this.number, performance.now());
    this.socket.send(message);
  }

  command(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket.close(1000);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
