// What the server proposes to learn of a person. Nothing becomes a view without a yes.
import { api } from "../api.js";
import { confirm, toast, toastError } from "../dialogs.js";
import { add, h, put } from "../dom.js";
import { date, number, t, translated } from "../i18n.js";
import { icon } from "../icons.js";
import { done } from "../undo.js";

/** The suggestions for a person, or the offer to make some; empty where there is nothing to say. */
export async function suggestedSection(person, { signal, session, redraw }) {
  const section = h("section", { class: "section", "aria-labelledby": "suggested-heading", hidden: true });
  const settings = await api.settings(signal);
  const admin = session?.role === "admin";
  const show = async () => {
    const { suggestions, accepted = 0 } = await api.suggestions(person, signal);
    const rows = suggestions.map((one) => row(one, person, show, redraw));
    const offer = settings.refresh === "off" && admin ? offerRow(redraw) : null;
    put(section, h("h2", { id: "suggested-heading" }, t("suggested.title")), rows.length ? h("p", { class: "help" }, t("suggested.help", { person })) : null);
    if (rows.length || offer || accepted) add(section, h("div", { class: "rows" }, rows, offer, accepted ? takeBackRow(person, accepted, redraw) : null));
    section.hidden = !section.querySelector(".rows");
  };
  await show();
  return section;
}

function row(one, person, show, redraw) {
  const answer = async (what) => {
    try {
      const { undo } = (await api.answerSuggestion(one.id, what)) ?? {};
      done(t(`suggested.answer.${what}`, { person }), [undo], redraw);
      if (what === "accept") redraw();
      else await show();
    } catch (error) {
      toastError(error);
      await show().catch(() => null);
    }
  };
  const why = translated(`suggested.reason.${one.reason}`, one.reason);
  const until = one.expires_at ? t("suggested.expires", { date: date(new Date(one.expires_at)) }) : null;
  return h(
    "div",
    { class: "row wrap" },
    h("img", { class: "face large", src: api.facePicture(one.face), alt: t("suggested.alt", { person }) }),
    h("div", { class: "row-text" }, h("span", {}, why), h("span", { class: "help" }, [t("suggested.seen", { n: one.sightings }), t("suggested.days", { n: one.days }), t("photo.similarity", { value: number(one.similarity, 2) }), until].filter(Boolean).join(" · "))),
    h(
      "div",
      { class: "actions" },
      h("button", { class: "button primary", type: "button", "aria-label": `${t("suggested.yes", { person })} (${why})`, onclick: () => answer("accept") }, icon("check", 16), t("suggested.yes", { person })),
      h("button", { class: "button", type: "button", "aria-label": `${t("suggested.no")} (${why})`, onclick: () => answer("decline") }, t("suggested.no")),
    ),
  );
}

function offerRow(redraw) {
  const agree = async () => {
    if (!(await confirm({ title: t("suggested.offer"), text: t("suggested.offer.long"), go: t("suggested.offer.go") }))) return;
    try {
      await api.changeSettings({ refresh: "suggest" });
      toast(t("suggested.offered"));
      redraw();
    } catch (error) {
      toastError(error);
    }
  };
  return h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, t("suggested.offer")), h("span", { class: "help" }, t("suggested.offer.help"))), h("button", { class: "button", type: "button", onclick: agree }, t("suggested.offer.go")));
}

function takeBackRow(person, accepted, redraw) {
  const back = async () => {
    if (!(await confirm({ title: t("suggested.back.title", { person }), text: t("suggested.back.help", { n: accepted }), go: t("suggested.back"), danger: true }))) return;
    try {
      await api.takeBackSuggestions(person);
      toast(t("suggested.taken_back", { person }));
      redraw();
    } catch (error) {
      toastError(error);
    }
  };
  return h("div", { class: "row wrap" }, h("div", { class: "row-text" }, h("span", {}, t("suggested.learned", { n: accepted })), h("span", { class: "help" }, t("suggested.learned.help"))), h("button", { class: "button", type: "button", onclick: back }, t("suggested.back")));
}
