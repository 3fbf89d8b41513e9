// What is written about a person: notes, tags, and the number that they have elsewhere.
import { api } from "../api.js";
import { form, toast } from "../dialogs.js";
import { field, h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";

/** What is written about a person, with a button to change it; null where there is nothing to show or to do. */
export function aboutSection(person, { mayChange, redraw }) {
  const { notes, tags, external_id: outside } = person;
  const empty = !notes && !tags.length && !outside;
  if (empty && !mayChange) return null;
  const change = h("button", { class: "button", type: "button", onclick: () => edit(person, redraw) }, icon("edit"), t(empty ? "about.add" : "about.change"));
  return h(
    "section",
    { class: "section", "aria-labelledby": "about-heading" },
    h("h2", { id: "about-heading" }, t("about.title")),
    h(
      "div",
      { class: "card about" },
      tags.length ? h("ul", { class: "tags", "aria-label": t("about.tags") }, tags.map((tag) => h("li", {}, h("a", { class: "badge", href: `#/people?tag=${encodeURIComponent(tag)}` }, tag)))) : null,
      notes ? h("p", { class: "notes" }, notes) : null,
      outside ? h("p", { class: "help" }, t("about.outside.is"), " ", h("span", { class: "mono" }, outside)) : null,
      empty ? h("p", { class: "help" }, t("about.empty", { person: person.person })) : null,
      mayChange ? h("div", { class: "actions" }, change) : null,
    ),
  );
}

async function edit({ person, notes, tags, external_id: outside }, redraw) {
  const about = h("textarea", { name: "notes", rows: 4, maxlength: 4000, autofocus: true });
  about.value = notes;
  const marks = h("input", { type: "text", name: "tags", value: tags.join(", "), autocomplete: "off" });
  const number = h("input", { type: "text", name: "external_id", value: outside, autocomplete: "off", maxlength: 200, spellcheck: "false" });
  const save = () => {
    const wanted = [...new Set(marks.value.split(",").map((tag) => tag.trim()).filter(Boolean))];
    return api.describe(person, { notes: about.value.trim(), tags: wanted, external_id: number.value.trim() });
  };
  const saved = await form({
    title: t("about.title.of", { person }),
    fields: [field(t("about.notes"), about), field(t("about.tags"), marks, t("about.tags.help")), field(t("about.outside"), number, t("about.outside.help"))],
    go: t("about.save"),
    save,
  });
  if (!saved) return;
  toast(t("about.saved", { person }));
  redraw();
}
