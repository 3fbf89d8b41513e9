// Corrections: somebody was taken for the wrong person, or for nobody. What that changes is shown before it is done.
import { api } from "../api.js";
import { ask, detailOf, stepHeading } from "../dialogs.js";
import { announce, field, h, put } from "../dom.js";
import { listed, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { suggestions } from "../suggest.js";
import { done } from "../undo.js";

const MOST_FACES = 6;

/** The button that begins a correction, or null where nothing was kept that could be corrected. */
export function correctButton({ sighting, person, when }, after) {
  if (!sighting) return null;
  const words = person ? t("correct.not", { person }) : t("correct.who");
  return h("button", { class: "button small quiet-button", type: "button", "aria-label": when ? `${words} (${when})` : null, onclick: () => correct(sighting, person, after) }, words);
}

/** Asks who it really was, shows what becomes of it, and stores it. */
export async function correct(id, person, after) {
  const made = await ask((close) => {
    const content = h("div", {});
    const steps = { content, id, person, close, faces: h("div", { class: "strip" }) };
    api.sighting(id).then(
      ({ faces }) => put(steps.faces, faces.slice(0, MOST_FACES).map((face, row) => h("img", { class: "face large", src: api.facePicture(face.id), alt: row ? "" : t("correct.face.alt") }))),
      (error) => put(steps.faces, problem(error)),
    );
    showQuestion(steps);
    return content;
  });
  if (!made) return;
  done(made.person ? t("correct.done", { person: made.person }) : t("correct.done.nobody", { person }), [made.undo], after);
  await after?.();
}

const problem = (error) => h("div", { class: "notice bad", role: "alert" }, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error)));

function showQuestion(steps, typed = "") {
  const { content, person, close, faces } = steps;
  const trouble = h("div", {});
  const name = h("input", { type: "text", required: true, maxlength: 100, autocomplete: "off", name: "person", value: typed, autofocus: true });
  const look = async (whom) => {
    put(trouble);
    try {
      showPreview(steps, whom, await api.correct(steps.id, whom, true));
    } catch (error) {
      put(trouble, problem(error));
    }
  };
  const submit = (event) => {
    event.preventDefault();
    const whom = name.value.trim();
    if (whom === person) put(trouble, problem({ message: t("correct.same", { person }) }));
    else if (whom) look(whom);
  };
  put(
    content,
    h(
      "form",
      { class: "form", onsubmit: submit },
      stepHeading(person ? t("correct.title", { person }) : t("correct.title.unknown")),
      faces,
      field(t("correct.really"), name, t("correct.really.help")),
      suggestions(name),
      trouble,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", onclick: () => close() }, t("cancel")),
        person ? h("button", { class: "button", type: "button", onclick: () => look(null) }, t("correct.nobody", { person })) : null,
        h("button", { class: "button primary", type: "submit" }, t("correct.look")),
      ),
    ),
  );
  name.focus();
}

function showPreview(steps, whom, preview) {
  const { content, id, person, close, faces } = steps;
  const trouble = h("div", {});
  const heading = stepHeading(whom ? t("correct.is", { person: whom }) : t("correct.is.nobody", { person }));
  const go = h("button", { class: "button primary", type: "button" }, t("correct.go"));
  go.addEventListener("click", async () => {
    go.disabled = true;
    put(trouble);
    try {
      close(await api.correct(id, whom, false));
    } catch (error) {
      put(trouble, problem(error));
      go.disabled = false;
    }
  });
  const effects = effectsOf(preview);
  put(
    content,
    h(
      "div",
      { class: "form" },
      heading,
      faces,
      h("h3", {}, t("correct.changes")),
      h("ul", { class: "effects" }, effects.map((effect) => h("li", {}, effect))),
      trouble,
      h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => showQuestion(steps, whom ?? "") }, t("back")), h("button", { class: "button", type: "button", onclick: () => close() }, t("cancel")), go),
    ),
  );
  heading.focus();
  announce(effects.join(" "));
}

/** What a correction does, as sentences. */
function effectsOf({ person, previous, template, look_alikes: alike, margin, changes, looked_at: looked }) {
  const who = (name) => name ?? t("stranger");
  const effects = [t("correct.effect.this", { before: who(previous), after: who(person) })];
  if (template) effects.push(t("correct.effect.template", { person }));
  if (alike) effects.push(t("correct.effect.alike", { people: listed(alike), margin: margin === null ? "–" : number(margin, 2) }));
  const counts = new Map();
  for (const { before, after } of changes) {
    const words = `${who(before)} → ${who(after)}`;
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  for (const [words, n] of counts) effects.push(t("correct.effect.others", { n, change: words }));
  if (!changes.length) effects.push(t("correct.effect.none", { n: looked }));
  else effects.push(t("correct.effect.looked", { n: looked }));
  return effects;
}
