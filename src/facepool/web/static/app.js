// The frame around the pages: navigation, language, signing in.
import { api, chooseCollection, onSignedOut } from "./api.js";
import { announce, h, put } from "./dom.js";
import { problemBox } from "./dialogs.js";
import { icon, mark } from "./icons.js";
import { language, t } from "./i18n.js";
import { recall, remember } from "./memory.js";
import { showActivity } from "./views/activity.js";
import { showCheck } from "./views/check.js";
import { showLive } from "./views/live.js";
import { showPeople } from "./views/people.js";
import { showPerson } from "./views/person.js";
import { showPhoto } from "./views/photo.js";
import { showRegister } from "./views/register.js";
import { showSettings } from "./views/settings.js";
import { showSignIn } from "./views/signin.js";
import { showUnknown } from "./views/unknown.js";

const PAGES = {
  register: showRegister,
  live: showLive,
  people: (page, context) => (context.rest ? showPerson : showPeople)(page, context),
  unknown: showUnknown,
  photo: showPhoto,
  activity: showActivity,
  settings: showSettings,
  check: showCheck,
};
/** Pages that others lead to, by those. */
const BELOW = { check: "photo" };
const HEALTH_EVERY_MS = 15_000;

const COLLECTION = "facepool.collection";
const state = { session: null, collections: [], leave: null, main: null, links: {}, shown: null };

/** Where the address bar says we are: #/people/Ada is {page: "people", rest: "Ada"}. */
function whereabouts() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/");
  return { page: page in PAGES ? page : "", rest: decoded(rest.join("/")), query: new URLSearchParams(query) };
}

/** Somebody may write an address by hand. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function frame() {
  const app = document.getElementById("app");
  document.documentElement.lang = language();
  state.links = Object.fromEntries(
    Object.keys(PAGES).filter((page) => !(page in BELOW)).map((page) => [page, h("a", { href: `#/${page}`, onclick: again }, icon(page), h("span", {}, t(`nav.${page}`)))]),
  );
  state.main = h("main", { class: "main", id: "content", tabindex: "-1" });
  state.health = h("p");
  const footer = h("footer", {}, state.health);
  if (state.session?.signed_in) {
    footer.prepend(h("p", {}, icon("key", 15), h("span", {}, state.session.name)));
    footer.append(h("button", { class: "button small", type: "button", onclick: signOut }, t("footer.sign_out")));
  }
  const skip = h("a", { class: "skip", href: "#content", onclick: (event) => (event.preventDefault(), state.main.focus()) }, t("skip"));
  put(
    app,
    skip,
    h(
      "div",
      { class: "frame" },
      h(
        "header",
        { class: "sidebar" },
        h("a", { class: "brand", href: "#/" }, mark(), "facepool"),
        state.collections.length > 1 ? collectionChooser() : null,
        h("nav", { class: "nav", "aria-label": t("nav.label") }, Object.values(state.links)),
        footer,
      ),
      state.main,
    ),
  );
}

/** Whose people are shown, where the server has several collections of them. */
function collectionChooser() {
  const chosen = chosenCollection();
  const change = () => {
    remember(COLLECTION, chooser.value);
    chooseCollection(chooser.value);
    location.hash = `#/${whereabouts().page}`;
    redraw();
  };
  const chooser = h("select", { "aria-label": t("collections.label"), onchange: change }, state.collections.map((name) => h("option", { value: name, selected: name === chosen }, name === "default" ? t("collections.default") : name)));
  return h("div", { class: "collections" }, chooser);
}

/** The one that was chosen here before, while it is there. */
function chosenCollection() {
  const chosen = recall(COLLECTION);
  return state.collections.includes(chosen) ? chosen : (state.collections[0] ?? "");
}

async function findCollections() {
  const answer = await api.collections().catch(() => ({ collections: [] }));
  state.collections = answer.collections.map((one) => one.name ?? one);
  chooseCollection(state.collections.length > 1 ? chosenCollection() : "");
}

/** Shows the page of the address; `page.title` becomes the heading's and the tab's. */
async function route({ anew = false } = {}) {
  if (location.hash === state.shown && !anew) return;
  if (state.leave?.mayLeave && !(await state.leave.mayLeave())) {
    history.replaceState(null, "", state.shown);
    return;
  }
  state.leave?.cleanup?.();
  state.leave = null;
  const here = whereabouts();
  if (!here.page) {
    const asked = location.hash;
    const first = await firstPage();
    if (location.hash === asked) location.replace(`#/${first}`); // whoever chose a page meanwhile gets that one
    return;
  }
  state.shown = location.hash;
  for (const [page, link] of Object.entries(state.links)) {
    if (page === (BELOW[here.page] ?? here.page)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const ended = new AbortController();
  const page = h("div", { class: "page" });
  put(state.main, page);
  scrollTo(0, 0);
  const context = { ...here, signal: ended.signal, session: state.session, redraw, ready: () => focusHeading(page) };
  const hooks = { cleanup: () => ended.abort() };
  state.leave = hooks;
  try {
    const own = (await PAGES[here.page](page, context)) ?? {};
    if (ended.signal.aborted) return own.cleanup?.();
    Object.assign(hooks, { mayLeave: own.mayLeave, cleanup: () => (ended.abort(), own.cleanup?.()) });
    focusHeading(page);
    state.main.dataset.shows = state.shown;
  } catch (error) {
    if (ended.signal.aborted) return;
    if (error.status !== 401) put(page, h("h1", {}, t(`nav.${BELOW[here.page] ?? here.page}`)), problemBox(error, () => redraw()));
  }
}

/** Whoever selects the page that is shown begins it anew. */
function again(event) {
  if (new URL(event.currentTarget.href).hash !== state.shown) return;
  event.preventDefault();
  route({ anew: true });
}

function focusHeading(page) {
  const heading = page.querySelector("h1");
  if (!heading) return;
  document.title = `${heading.textContent} · facepool`;
  heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: true });
}

/** Who has nobody registered begins there. */
async function firstPage() {
  try {
    return (await api.pool()).people ? "live" : "register";
  } catch {
    return "register";
  }
}

/** Shows the page anew, in another language if need be. */
function redraw() {
  frame();
  checkHealth();
  state.shown = null;
  return route();
}

async function checkHealth() {
  const well = await fetch(new URL("health", document.baseURI), { cache: "no-store" }).then((r) => r.ok, () => false);
  put(state.health, h("span", { class: `dot ${well ? "on" : "off"}` }), h("span", {}, t(well ? "footer.ready" : "footer.away")));
}

async function signOut() {
  await api.signOut().catch(() => null);
  start();
}

async function start() {
  document.documentElement.lang = language();
  state.leave?.cleanup?.();
  state.leave = null;
  try {
    state.session = await api.session();
  } catch (error) {
    if (error.status === 401) return gate();
    state.session = null;
  }
  if (state.session && !state.session.role) return gate();
  await findCollections();
  redraw();
}

function gate() {
  state.shown = null;
  showSignIn(document.getElementById("app"), start);
  document.title = `${t("signin.title")} · facepool`;
  announce(t("signin.title"));
}

onSignedOut(gate);
addEventListener("hashchange", () => route());
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());
setInterval(() => state.health?.isConnected && checkHealth(), HEALTH_EVERY_MS);
start();
