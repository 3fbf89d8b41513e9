// Giving a stranger a name: a new one, or that of somebody who is known; asks where they look like somebody else.
import { api } from "./api.js";
import { ask, detailOf, stepHeading } from "./dialogs.js";
import { announce, field, h, put } from "./dom.js";
import { number, t } from "./i18n.js";
import { icon } from "./icons.js";
import { portrait } from "./portraits.js";
import { suggestions } from "./suggest.js";
import { done } from "./undo.js";

const MOST_FACES = 8;

/** Pictures of a stranger's faces, best first. */
export const facesOf = (faces, name, most = MOST_FACES) =>
  h("div", { class: "strip" }, faces.slice(0, most).map((face, row) => h("img", { class: "face", src: api.facePicture(face), alt: row ? "" : t("unknown.face.alt", { name }), loading: "lazy", draggable: "false" })));

/** Strangers have numbers until they have names. */
export const strangerName = (id) => t("unknown.name", { id: String(id) });

/** Who is known by exactly this name, or null. */
async function known(name) {
  const { persons } = await api.people({ name: [name] });
  return persons[0] ?? null;
}

/**
 * Asks who a stranger is, and stores it.
 *
 * @param group as the server lists it
 * @param after is called when it was taken back
 * @param typed the name to begin with
 * @param before what led to it and is taken back with it
 * @returns the name, or undefined if nothing was stored
 */
export async function nameStranger(group, after, typed = "", before = []) {
  const stranger = strangerName(group.id);
  const answer = await ask((close) => {
    const content = h("div", {});
    const steps = { content, group, stranger, close };
    showName(steps, typed);
    return content;
  });
  if (!answer) return undefined;
  done(t(answer.added ? "unknown.added" : "unknown.named", { stranger, person: answer.person }), [...before, answer.undo], after);
  return answer.person;
}

/**
 * Adds a stranger to somebody who is known; asks only where the pool knows better.
 *
 * @param group as the server lists it
 * @param person the name
 * @param after is called when it was taken back
 * @param before what led to it and is taken back with it
 * @returns whether they were added
 */
export async function addStranger(group, person, after, before = []) {
  const stranger = strangerName(group.id);
  let undo;
  try {
    ({ undo } = await api.changeStranger(group.id, "add", { person }));
  } catch (error) {
    if (error.code !== "identity_conflict") throw error;
    const answer = await ask((close) => {
      const content = h("div", {});
      showConflict({ content, group, stranger, close }, { person }, true, error);
      return content;
    });
    if (!answer) return false;
    ({ undo } = answer);
  }
  done(t("unknown.added", { stranger, person }), [...before, undo], after);
  return true;
}

function showName(steps, typed) {
  const { content, group, stranger, close } = steps;
  const name = h("input", { type: "text", value: typed, required: true, maxlength: 100, autocomplete: "off", name: "person", autofocus: true });
  const problem = h("div", { class: "notice bad", role: "alert", hidden: true });
  const go = h("button", { class: "button primary", type: "submit" }, t("unknown.name.go"));
  const likely = group.looks_like.map(({ person, similarity }) =>
    h("button", { class: "button", type: "button", onclick: () => attempt(() => store(steps, person, true)) }, t("unknown.is", { person, value: number(similarity, 2) })),
  );
  /** Does something; what goes wrong is said here, and everything stays as it was typed. */
  async function attempt(act) {
    const buttons = [go, ...likely];
    for (const button of buttons) button.disabled = true;
    problem.hidden = true;
    try {
      await act();
    } catch (error) {
      put(problem, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error)));
      problem.hidden = false;
      name.focus();
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }
  const submit = (event) => {
    event.preventDefault();
    const wanted = name.value.trim();
    if (wanted) attempt(() => decide(steps, wanted));
  };
  put(
    content,
    h(
      "form",
      { class: "form", onsubmit: submit },
      stepHeading(t("unknown.who", { stranger })),
      facesOf(group.faces, stranger),
      likely.length ? h("div", { class: "actions" }, likely) : null,
      field(t("unknown.name.label"), name, t("unknown.name.help")),
      suggestions(name),
      problem,
      h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => close() }, t("cancel")), go),
    ),
  );
  name.focus();
}

/** A name that is known may be meant, or be that of somebody else; who looks like somebody may be that person. */
async function decide(steps, wanted) {
  const person = await known(wanted);
  const like = steps.group.looks_like;
  if (person && like.some((one) => one.person === person.person)) return store(steps, person.person, true);
  if (person) return question(steps, wanted, [person], t("unknown.known", { person: person.person }));
  if (like.length) return showAlike(steps, wanted);
  return store(steps, wanted, false);
}

async function showAlike(steps, wanted) {
  const { persons } = await api.people({ name: steps.group.looks_like.map(({ person }) => person) });
  const faces = new Map(persons.map((one) => [one.person, one]));
  const words = steps.group.looks_like.map(({ person, similarity }) => t("unknown.alike", { person, value: number(similarity, 2) }));
  return question(steps, wanted, steps.group.looks_like.map(({ person }) => faces.get(person) ?? { person, face: null }), words.join(" "));
}

/** Whether the stranger is somebody known, face beside face. */
function question(steps, wanted, persons, words) {
  const { content, group, stranger } = steps;
  const problem = h("div", {});
  const attempt = async (act) => {
    put(problem);
    try {
      await act();
    } catch (error) {
      put(problem, h("div", { class: "notice bad", role: "alert" }, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error))));
    }
  };
  const isKnown = persons.some((one) => one.person === wanted);
  const others = persons.map((one) => one.person);
  const heading = stepHeading(t("unknown.same.title"));
  put(
    content,
    h(
      "div",
      { class: "form" },
      heading,
      h("div", { class: "pair" }, facesOf(group.faces, stranger, 2), h("span", { "aria-hidden": "true" }, "?"), persons.map((one) => portrait(one, "large"))),
      h("p", {}, words),
      problem,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", onclick: () => showName(steps, wanted) }, t("back")),
        isKnown ? null : h("button", { class: "button", type: "button", onclick: () => attempt(() => store(steps, wanted, false, others)) }, t("unknown.different", { person: wanted })),
        persons.map((one) => h("button", { class: "button primary", type: "button", onclick: () => attempt(() => store(steps, one.person, true)) }, t("unknown.same", { person: one.person }))),
      ),
    ),
  );
  heading.focus();
  announce(words);
}

async function store(steps, person, added, different = []) {
  const { group, close } = steps;
  const sent = { person, ...(different.length && { look_alikes: different }) };
  try {
    const { undo } = await api.changeStranger(group.id, added ? "add" : "name", sent);
    close({ person, added, undo });
  } catch (error) {
    if (error.code === "person_exists") return question(steps, person, [await known(person)].filter(Boolean), t("unknown.known", { person }));
    if (error.code === "identity_conflict" && !different.length) {
      const anew = await api.stranger(group.id); // they look like somebody who was registered meanwhile
      if (anew.looks_like.length && !added) return showAlike({ ...steps, group: anew }, person);
    }
    if (error.code === "identity_conflict") return showConflict(steps, sent, added, error);
    throw error;
  }
}

/** What the pool knows speaks against it; somebody who has looked may know better. */
function showConflict(steps, sent, added, error) {
  const { content, group, stranger, close } = steps;
  const heading = stepHeading(t("unknown.conflict"));
  const trouble = h("div", { class: "notice bad", role: "alert" }, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error)));
  const force = h("button", { class: "button", type: "button" }, t("unknown.force"));
  force.addEventListener("click", async () => {
    force.disabled = true;
    try {
      const { undo } = await api.changeStranger(group.id, added ? "add" : "name", { ...sent, force: true });
      close({ person: sent.person, added, undo });
    } catch (further) {
      put(trouble, icon("warn"), h("div", {}, h("span", {}, further.message), detailOf(further)));
    }
  });
  put(content, h("div", { class: "form" }, heading, facesOf(group.faces, stranger), trouble, h("div", { class: "actions" }, force, h("button", { class: "button primary", type: "button", onclick: () => showName(steps, sent.person) }, t("back")))));
  heading.focus();
}
