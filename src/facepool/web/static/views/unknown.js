// Unknown people: everybody who was seen and has no name yet, as cards that are named, ignored, joined or forgotten.
import { api } from "../api.js";
import { ask, confirm, problemBox, toast, toastError } from "../dialogs.js";
import { add, announce, freshId, h, put, segments, toggle } from "../dom.js";
import { canBeDragged, peopleShelf, takesStrangers } from "../drag.js";
import { bytes, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { recall, remember } from "../memory.js";
import { addStranger, facesOf, nameStranger, strangerName } from "../naming.js";
import { done, takeBackLast } from "../undo.js";
import { placesOf, showStranger, timesWords } from "./stranger.js";

const AT_ONCE = 60;
const WITH_KEYS = 9;
const FACES_ON_A_CARD = 5;
const REFRESH_AFTER_MS = 1500;
const NEARLY_FULL = 0.98;
const KEYS_OFF = "facepool.keys";
const SHORTCUTS = ["1", "arrows", "n", "o", "i", "delete", "z", "help"];

export const showUnknown = (page, context) => (context.rest ? showStranger : showCards)(page, context);

async function showCards(page, { signal, session, redraw, query }) {
  const mayChange = session?.role !== "recognize";
  const admin = session?.role === "admin";
  const state = { kind: query.get("state") === "ignored" ? "ignored" : "open", groups: new Map(), rows: new Map(), next: null, current: null, shelf: null };
  const list = h("ul", { class: "strangers" });
  const notices = h("div", { class: "section" });
  const proposed = h("section", { class: "section", "aria-labelledby": "proposed-heading", hidden: true });
  const below = h("div", { class: "section" });
  const status = h("p", { class: "quiet number", role: "status" });
  const more = h("button", { class: "button", type: "button", hidden: true, onclick: () => load({ after: state.next }).catch((error) => signal.aborted || toastError(error)) }, t("people.more"));
  const kinds = segments(t("unknown.kinds"), ["open", "ignored"].map((kind) => [kind, t(`unknown.kind.${kind}`)]), state.kind, (kind) => {
    state.kind = kind;
    load().catch((error) => signal.aborted || put(notices, problemBox(error, redraw)));
  });
  const help = h("button", { class: "button keys-help", type: "button", onclick: () => showKeys(redraw) }, icon("keys"), t("unknown.keys"));
  const settings = await api.settings(signal);
  put(
    page,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("unknown.title")), h("p", { class: "help" }, t("unknown.lead"))), h("div", { class: "actions" }, kinds, mayChange ? help : null)),
    notices,
    proposed,
    status,
    list,
    h("div", { class: "actions" }, more),
    below,
  );

  async function load(from = {}) {
    const { kind } = state;
    const answer = await api.unknown({ state: kind, limit: from.after === undefined ? Math.max(AT_ONCE, state.groups.size) : AT_ONCE, ...from }, signal);
    if (kind !== state.kind) return;
    if (from.after === undefined) state.groups.clear();
    for (const group of answer.groups) state.groups.set(group.id, group);
    state.next = answer.next ?? null;
    more.hidden = state.next === null;
    status.textContent = answer.total ? t(`unknown.count.${kind}`, { n: answer.total }) : "";
    draw();
    tell(notices, answer, settings, admin, state.groups.size, redraw, kind);
    put(below, keptSection(answer.kept, settings, { admin, mayChange, redraw }));
    await propose(kind === "open" ? answer.proposals : []);
  }
  /** After a change; whoever has left the page meanwhile is told nothing. */
  const reload = () => load().catch((error) => signal.aborted || toastError(error));

  /** Puts the cards in order; those that are as before stay as they are, and so does the focus. */
  function draw() {
    const inside = list.contains(document.activeElement);
    const rows = new Map();
    const groups = [...state.groups.values()];
    groups.forEach((group, row) => {
      const key = keysAreOn() && mayChange && row < WITH_KEYS ? String(row + 1) : "";
      const said = JSON.stringify([group, key]);
      const before = state.rows.get(group.id);
      rows.set(group.id, before?.said === said ? before : { said, item: h("li", {}, card(group, key)) });
    });
    const changed = rows.size !== state.rows.size || [...rows].some(([id, row], place) => list.children[place] !== row.item);
    state.rows = rows;
    help.hidden = !groups.length;
    if (state.shelf) state.shelf.hidden = !groups.length;
    if (changed) put(list, [...rows.values()].map(({ item }) => item));
    if (!state.groups.has(state.current)) state.current = groups[0]?.id ?? null;
    mark();
    if (inside && !list.contains(document.activeElement)) cardOf(state.current)?.focus();
  }

  const cardOf = (id) => state.rows.get(id)?.item.firstElementChild;
  /** One card is in the order of the Tab key; arrows go to the others. */
  function mark() {
    for (const [id, { item }] of state.rows) item.firstElementChild.tabIndex = id === state.current ? 0 : -1;
  }

  function card(group, key) {
    const name = strangerName(group.id);
    const heading = h("h2", { id: freshId("stranger") }, name);
    const like = group.looks_like[0];
    const small = (glyph, label, act) => h("button", { class: "icon-button", type: "button", "aria-label": `${label} (${name})`, title: label, onclick: act }, icon(glyph));
    const article = h(
      "article",
      { class: "stranger", tabindex: "-1", "aria-labelledby": heading.id, "aria-keyshortcuts": key || null, onfocusin: () => ((state.current = group.id), mark()) },
      key ? h("kbd", { class: "keycap", "aria-hidden": "true" }, key) : null,
      h("a", { class: "stranger-face", href: `#/unknown/${group.id}`, draggable: "false" }, group.faces.length ? h("img", { src: api.facePicture(group.faces[0]), alt: "", draggable: "false" }) : icon("unknown", 40), heading),
      h("p", {}, timesWords(group)),
      h("p", { class: "help" }, placesOf(group)),
      facesOf(group.faces.slice(1), name, FACES_ON_A_CARD),
      like ? h("p", { class: "badge" }, t("unknown.like", { person: like.person })) : null,
      mayChange
        ? h(
            "div",
            { class: "actions" },
            h("button", { class: "button primary", type: "button", "aria-label": `${t("unknown.name.go")} (${name})`, onclick: () => act.name(group) }, t("unknown.name.go")),
            state.kind === "open" ? small("hide", t("unknown.ignore"), () => act.ignore(group)) : small("unknown", t("unknown.watch"), () => act.ignore(group)),
            small("trash", t("unknown.delete"), () => act.remove(group)),
          )
        : null,
    );
    if (!mayChange) return article;
    canBeDragged(article, { group });
    return takesStrangers(article, (what) => act.join(group, what.group), (what) => what.group.id !== group.id && !what.sightings);
  }

  /** Takes a card away at once; what the server says afterwards counts. */
  async function settle(id) {
    const ids = [...state.groups.keys()];
    const row = ids.indexOf(id);
    state.groups.delete(id);
    if (state.current === id) state.current = ids[row + 1] ?? ids[row - 1] ?? null;
    draw();
    cardOf(state.current)?.focus();
    await reload();
  }

  const act = {
    async name(group) {
      if (await nameStranger(group, reload)) await settle(group.id);
    },
    async ignore(group) {
      const what = state.kind === "open" ? "ignore" : "watch";
      await change(group, () => api.changeStranger(group.id, what), t(what === "ignore" ? "unknown.ignored" : "unknown.watched", { stranger: strangerName(group.id) }));
    },
    async remove(group) {
      const stranger = strangerName(group.id);
      if (!(await confirm({ title: t("unknown.delete.title", { stranger }), text: t("unknown.delete.help"), go: t("unknown.delete"), danger: true }))) return;
      await change(group, () => api.deleteStranger(group.id), t("unknown.deleted", { stranger }));
    },
    join: (into, group) => change(group, () => api.changeStranger(into.id, "join", { group: group.id }), t("unknown.joined", { stranger: strangerName(group.id), into: strangerName(into.id) })),
    async add(person, { group }) {
      try {
        if (await addStranger(group, person, reload)) await settle(group.id);
      } catch (error) {
        toastError(error);
        await reload(); // somebody else may have been faster
      }
    },
  };

  async function change(group, send, words) {
    try {
      const answer = await send();
      done(words, [answer?.undo], reload);
      await settle(group.id);
    } catch (error) {
      toastError(error);
      await reload(); // somebody else may have been faster
    }
  }

  /** Groups that may be one person: never joined without being asked. */
  async function propose(pairs) {
    const rows = await Promise.all(pairs.map(async (pair) => proposalRow(pair, await Promise.all(pair.groups.map((id) => state.groups.get(id) ?? api.stranger(id, signal))), mayChange, reload)));
    put(proposed, h("h2", { id: "proposed-heading" }, t("unknown.proposals")), h("div", { class: "rows" }, rows));
    proposed.hidden = !pairs.length;
  }

  function press(event) {
    if (!keysAreOn() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.target.closest("input, select, textarea, [contenteditable]")) return;
    const groups = [...state.groups.values()];
    const current = state.groups.get(state.current);
    const onCard = event.target.matches(".stranger");
    const does = {
      n: () => current && act.name(current),
      o: () => current && (location.hash = `#/unknown/${current.id}`),
      i: () => current && act.ignore(current),
      Delete: () => current && act.remove(current),
      z: () => takeBackLast(reload),
      "?": () => showKeys(redraw),
      Enter: onCard ? () => act.name(current) : null,
      ArrowRight: () => move(1),
      ArrowLeft: () => move(-1),
      ArrowDown: () => move(columns()),
      ArrowUp: () => move(-columns()),
    };
    const picked = /^[1-9]$/.test(event.key) ? groups[Number(event.key) - 1] : null;
    const run = picked ? () => (focusCard(picked.id), act.name(picked)) : does[event.key];
    if (!run || (event.key.startsWith("Arrow") && !onCard && event.target.closest("a, button"))) return;
    event.preventDefault();
    run();
  }

  const columns = () => {
    const tops = [...list.children].map((item) => item.offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  };
  function focusCard(id) {
    state.current = id;
    mark();
    cardOf(id)?.focus();
  }
  function move(by) {
    const ids = [...state.groups.keys()];
    const to = ids[Math.min(ids.length - 1, Math.max(0, ids.indexOf(state.current) + (list.contains(document.activeElement) ? by : 0)))];
    if (to !== undefined) focusCard(to);
  }

  await load();
  if (mayChange) {
    addEventListener("keydown", press, { signal });
    state.shelf = await peopleShelf((person, what) => act.add(person, what), signal);
    if (state.shelf) list.before(state.shelf);
    draw();
  }
  let waiting = 0;
  const events = api.events();
  const soon = () => {
    waiting ||= setTimeout(() => {
      waiting = 0;
      if (!document.querySelector("dialog[open], .dragging")) load().catch(() => null); // the next event tries again
    }, REFRESH_AFTER_MS);
  };
  for (const kind of ["lost", "unknown_returned"]) events.addEventListener(kind, soon);
  return {
    cleanup: () => {
      clearTimeout(waiting);
      events.close();
    },
  };
}

const keysAreOn = () => recall(KEYS_OFF) !== "off";

/** Which keys there are; who speaks to the computer, or hits keys by accident, can switch them off. */
async function showKeys(redraw) {
  const before = keysAreOn();
  await ask((close) =>
    h(
      "div",
      { class: "form" },
      h("h2", {}, t("unknown.keys.title")),
      h("dl", { class: "shortcuts" }, SHORTCUTS.map((key) => h("div", {}, h("dt", {}, h("kbd", {}, t(`unknown.key.${key}`))), h("dd", {}, t(`unknown.key.${key}.does`))))),
      toggle(t("unknown.keys.on"), before, (on) => remember(KEYS_OFF, on ? null : "off"), t("unknown.keys.on.help")),
      h("div", { class: "actions" }, h("button", { class: "button primary", type: "button", onclick: () => close() }, t("close"))),
    ),
  );
  if (keysAreOn() !== before) redraw();
}

function proposalRow({ groups: [one, other], similarity }, groups, mayChange, reload) {
  const names = [one, other].map(strangerName);
  const [first, second] = names;
  const decide = async (what, words) => {
    try {
      const { undo } = await api.changeStranger(one, what, { group: other });
      done(words, [undo], reload);
    } catch (error) {
      toastError(error);
    }
    await reload();
  };
  return h(
    "div",
    { class: "row wrap" },
    groups.map((group, row) => h("a", { href: `#/unknown/${group.id}`, class: "plain-link" }, facesOf(group.faces, names[row], 3))),
    h("div", { class: "row-text" }, h("span", {}, t("unknown.proposal", { first, second })), h("span", { class: "help" }, t("photo.similarity", { value: number(similarity, 2) }))),
    mayChange
      ? h(
          "div",
          { class: "actions" },
          h("button", { class: "button", type: "button", "aria-label": `${t("unknown.join")} (${first}, ${second})`, onclick: () => decide("join", t("unknown.joined", { stranger: second, into: first })) }, t("unknown.join")),
          h("button", { class: "button", type: "button", "aria-label": `${t("unknown.apart")} (${first}, ${second})`, onclick: () => decide("apart", t("unknown.kept_apart", { first, second })) }, t("unknown.apart")),
        )
      : null,
  );
}

/** What has to be said above the cards: that nothing is kept, that nobody was seen, or that there is no more room. */
function tell(place, { kept }, settings, admin, shown, redraw, kind) {
  const full = kept.sightings >= kept.most_sightings * NEARLY_FULL || kept.bytes >= kept.most_bytes * NEARLY_FULL;
  const dropped = kept.dropped ? t("unknown.dropped", { n: kept.dropped }) : null;
  put(
    place,
    settings.keep_unknown ? null : offer(kept, admin, redraw),
    full || dropped ? h("div", { class: "notice" }, icon("warn"), h("div", {}, h("strong", {}, t(full ? "unknown.full" : "unknown.was_full")), dropped ? h("span", {}, dropped) : null, h("span", { class: "help" }, t("unknown.full.help", { n: kept.most_sightings, size: roomOf(kept) })))) : null,
    settings.keep_unknown && !shown ? h("div", { class: "empty" }, icon("unknown"), h("h2", {}, t(`unknown.empty.${kind}`)), h("p", {}, t(`unknown.empty.${kind}.help`))) : null,
  );
}

/** Asks to keep unknown people, with what is kept, where and how long. Only an administrator can say yes here. */
function offer(kept, admin, redraw) {
  const agree = async () => {
    try {
      await api.changeSettings({ keep_unknown: true });
      toast(t("unknown.keeping"));
      redraw();
    } catch (error) {
      toastError(error);
    }
  };
  return h(
    "section",
    { class: "card offer", "aria-labelledby": "offer-heading" },
    h("h2", { id: "offer-heading" }, t("unknown.offer")),
    h("p", {}, t("unknown.offer.why")),
    h(
      "dl",
      { class: "terms" },
      h("div", {}, h("dt", {}, t("unknown.offer.what")), h("dd", {}, t("unknown.offer.what.is"))),
      h("div", {}, h("dt", {}, t("unknown.offer.where")), h("dd", {}, t("unknown.offer.where.is", { host: location.host }))),
      h("div", {}, h("dt", {}, t("unknown.offer.long")), h("dd", {}, t("unknown.offer.long.is", { n: kept.days, most: kept.most_sightings, size: roomOf(kept) }))),
    ),
    h("p", { class: "help" }, t("unknown.offer.law")),
    admin ? h("div", { class: "actions" }, h("button", { class: "button primary", type: "button", onclick: agree }, t("unknown.offer.go"))) : h("p", {}, t("unknown.offer.admin")),
  );
}

/** As --keep-mb says it. */
const roomOf = ({ most_bytes: most }) => bytes(Math.round(most / 2 ** 20) * 1_000_000);

function keptSection(kept, settings, { admin, mayChange, redraw }) {
  if (!settings.keep_unknown && !kept.sightings) return null;
  const forget = async () => {
    if (!(await confirm({ title: t("unknown.forget.title"), text: t("unknown.forget.help"), go: t("unknown.forget"), danger: true }))) return;
    await run(api.forgetUnknown, t("unknown.forgotten"));
  };
  const stop = async () => {
    if (!(await confirm({ title: t("unknown.stop.title"), text: t("unknown.stop.help"), go: t("unknown.stop"), danger: true }))) return;
    await run(() => api.changeSettings({ keep_unknown: false }), t("unknown.stopped"));
  };
  const run = async (act, words) => {
    try {
      await act();
      toast(words);
      announce(words);
      redraw();
    } catch (error) {
      toastError(error);
    }
  };
  const row = (name, help, button) => h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, name), h("span", { class: "help" }, help)), button);
  const rows = [row(t("unknown.kept", { n: kept.sightings }), t("unknown.kept.help", { faces: kept.faces, size: bytes(kept.bytes), most: kept.most_sightings, room: roomOf(kept), days: kept.days }))];
  if (mayChange) rows.push(row(t("unknown.forget"), t("unknown.forget.short"), h("button", { class: "button plain bad", type: "button", onclick: forget }, icon("trash"), t("unknown.forget"))));
  if (admin && settings.keep_unknown) rows.push(row(t("unknown.stop"), t("unknown.stop.short"), h("button", { class: "button", type: "button", onclick: stop }, t("unknown.stop"))));
  return add(h("section", { class: "section", "aria-labelledby": "kept-heading" }), h("h2", { id: "kept-heading" }, t("unknown.kept.title")), h("div", { class: "rows" }, rows));
}
