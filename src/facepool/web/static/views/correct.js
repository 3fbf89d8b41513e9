// Corrections: somebody was taken for the wrong person, or for nobody. What that changes is shown before it is done.
import { api } from "../api.js";
import { ask, detailOf, stepHeading } from "../dialogs.js";
import { announce, field, h, put } from "../dom.js";
import { listed, number, t } from "../i18n.js";
import { icon } from "../icons.js";
import { nameStranger } from "../naming.js";
import { suggestions } from "../suggest.js";
import { done } from "../undo.js";

const MOST_FACES = 6;
const SPEAKS_AGAINST = new Set(["other_person", "not_the_same_person"]);

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
    const steps = { content, id, person, close, faces: h("div", { class: "strip" }), group: null };
    api.sighting(id).then(
      ({ faces, group }) => {
        steps.group = group;
        put(steps.faces, faces.slice(0, MOST_FACES).map((face, row) => h("img", { class: "face large", src: api.facePicture(face.id), alt: row ? "" : t("correct.face.alt") })));
      },
      (error) => put(steps.faces, problem(error)),
    );
    showQuestion(steps);
    return content;
  });
  if (!made) return;
  if (made.stranger) {
    if (!(await nameStranger(made.stranger, after, made.typed))) return;
  } else done(made.person ? t("correct.done", { person: made.person }) : t("correct.done.nobody", { person }), [made.undo], after);
  await after?.();
}

const problem = (error, action = null) => h("div", { class: "notice bad", role: "alert" }, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error), action));

function showQuestion(steps, typed = "") {
  const { content, person, close, faces } = steps;
  const trouble = h("div", {});
  const name = h("input", { type: "text", required: true, maxlength: 100, autocomplete: "off", name: "person", value: typed, autofocus: true });
  const look = async (whom) => {
    put(trouble);
    try {
      showPreview(steps, whom, await api.correct(steps.id, { person: whom, preview: true }));
    } catch (error) {
      put(trouble, problem(error, error.code === "person_unknown" && steps.group ? somebodyNew(whom) : null));
    }
  };
  /** Who is not in the pool yet gets there by naming the stranger to whom the face belongs. */
  const somebodyNew = (whom) =>
    h("button", { class: "button small", type: "button", onclick: async () => close({ stranger: await api.stranger(steps.group), typed: whom }) }, t("correct.new", { person: whom }));
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
  const against = SPEAKS_AGAINST.has(preview.outcome);
  const go = async (wish) => {
    for (const button of buttons) button.disabled = true;
    put(trouble);
    try {
      close(await api.correct(id, { person: whom, preview: false, ...wish }));
    } catch (error) {
      put(trouble, problem(error));
      for (const button of buttons) button.disabled = false;
    }
  };
  const button = (key, wish, kind) => h("button", { class: `button ${kind}`, type: "button", onclick: () => go(wish) }, t(key));
  const buttons = against ? [button("correct.force", { force: true }, ""), button("correct.name_only", { template: false }, "primary")] : [button("correct.go", {}, "primary")];
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
      h("div", { class: "actions" }, h("button", { class: "button", type: "button", onclick: () => showQuestion(steps, whom ?? "") }, t("back")), buttons),
    ),
  );
  heading.focus();
  announce(effects.join(" "));
}

const who = (name) => name ?? t("stranger");

/** What a correction does, as sentences. */
function effectsOf({ person, previous, template, outcome, removed, look_alikes: alike, margin, again, erased, changes, looked_at: looked }) {
  const effects = [t("correct.effect.this", { before: who(previous), after: who(person) })];
  if (template) effects.push(t("correct.effect.template", { person }));
  else if (person && outcome) effects.push(t("correct.effect.no_template", { person, reason: t(`outcome.${outcome}`) }));
  if (erased) effects.push(t("correct.effect.erased"));
  if (removed) effects.push(t("correct.effect.removed", { n: removed, person: who(previous) }));
  if (alike) effects.push(margin === null ? t("correct.effect.alike.unmeasured", { people: listed(alike) }) : t("correct.effect.alike", { people: listed(alike), margin: number(margin, 2) }));
  if (outcome !== "no_face") effects.push(t("correct.effect.again", { person: who(again) }));
  const counts = new Map();
  for (const { before, after } of changes) {
    const words = `${who(before)} → ${who(after)}`;
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  for (const [words, n] of counts) effects.push(t("correct.effect.others", { n, change: words }));
  if (looked) effects.push(t(changes.length ? "correct.effect.looked" : "correct.effect.none", { n: looked }));
  return effects;
}
