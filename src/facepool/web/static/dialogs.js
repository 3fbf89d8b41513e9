// Questions, and short messages. <dialog> keeps the focus inside and gives it back.
import { add, h, put } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const HEADING = "dialog-heading";

/** The heading of a dialog whose content changes from step to step. */
export const stepHeading = (text) => h("h2", { id: HEADING, tabindex: "-1" }, text);

/** Shows a dialog. `build(close)` returns its content; resolves with what was given to close, or undefined. */
export function ask(build) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { closedby: "any" });
    let answer;
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    add(dialog, build(close));
    const heading = dialog.querySelector("h2");
    if (heading) {
      heading.id = HEADING;
      dialog.setAttribute("aria-labelledby", heading.id);
      heading.setAttribute("tabindex", "-1");
      if (!dialog.querySelector("[autofocus]")) heading.setAttribute("autofocus", ""); // what is read first, also where it has to be scrolled
    }
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks before something is done; true if the user goes on. */
export function confirm({ title, text, go, stay = t("cancel"), danger = false }) {
  return ask((close) =>
    h(
      "form",
      { class: "form", method: "dialog", onsubmit: (event) => (event.preventDefault(), close(true)) },
      h("h2", {}, title),
      text ? h("p", {}, text) : null,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", autofocus: danger, onclick: () => close(false) }, stay),
        h("button", { class: `button ${danger ? "danger" : "primary"}`, type: "submit", autofocus: !danger }, go),
      ),
    ),
  ).then((answer) => answer === true);
}

/** A form in a dialog that stays open, and says why, until `save` has worked. */
export function form({ title, text, fields, go, danger = false, save }) {
  return ask((close) => {
    const problem = h("div", { class: "notice bad", role: "alert", hidden: true });
    const button = h("button", { class: `button ${danger ? "danger" : "primary"}`, type: "submit" }, go);
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      problem.hidden = true;
      try {
        close(await save());
      } catch (error) {
        put(problem, icon("warn"), h("div", {}, h("span", {}, error.message), detailOf(error)));
        problem.hidden = false;
      } finally {
        button.disabled = false;
      }
    };
    return h(
      "form",
      { class: "form", onsubmit: submit },
      h("h2", {}, title),
      text ? h("p", { class: "help" }, text) : null,
      fields,
      problem,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", onclick: () => close() }, t("cancel")),
        button,
      ),
    );
  });
}

const TOAST_MS = 6000;
const MOST_TOASTS = 3;
const LONG_TOAST_MS = 12_000; // there is something to do in it, or more to read

/** A message that goes by itself; `action` is {text, act} of a button in it. */
export function toast(text, name = "check", action = null) {
  const go = action ? h("button", { class: "button small", type: "button", onclick: () => (message.remove(), action.act()) }, action.text) : null;
  const message = h("div", { class: "toast" }, icon(name), h("span", {}, text), go);
  const place = document.getElementById("toasts");
  place.append(message);
  while (place.children.length > MOST_TOASTS) place.firstElementChild.remove();
  const wait = () => setTimeout(() => (message.matches(":hover, :focus-within") ? wait() : message.remove()), action || text.length > 120 ? LONG_TOAST_MS : TOAST_MS);
  wait();
  return message;
}

/** Says what went wrong, as a message that goes by itself. */
export const toastError = (error) => toast([error.message, error.detail].filter(Boolean).join(" · "), "warn");

/** The server's own words, where they say more than those of the page; they are English. */
export const detailOf = ({ detail }) => (detail ? h("span", { class: "help", lang: "en" }, detail) : null);

/** Where somebody can show that they are there, if that is what is missing. */
export const checkLink = ({ code, person }) => {
  const way = person ? `#/check?register=${encodeURIComponent(person)}` : "#/check";
  return code === "liveness_needed" ? h("a", { class: "button", href: way }, t("check.title")) : null;
};

/** A box that says what went wrong. */
export function problemBox(error, retry) {
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    icon("warn"),
    h("div", {}, h("strong", {}, error.title ?? t("error.title")), h("span", {}, error.message), detailOf(error)),
    checkLink(error),
    retry ? h("button", { class: "button small", type: "button", onclick: retry }, t("retry")) : null,
  );
}
