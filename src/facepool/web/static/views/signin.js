// Signing in with an API key, where the server asks for one.
import { api } from "../api.js";
import { field, h, put } from "../dom.js";
import { mark } from "../icons.js";
import { t } from "../i18n.js";

export function showSignIn(app, done) {
  const key = h("input", { type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  const go = h("button", { class: "button primary large", type: "submit" }, t("signin.go"));
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    problem.hidden = true;
    try {
      await api.signIn(key.value.trim());
      done();
    } catch (error) {
      problem.textContent = error.status === 401 || error.status === 403 ? t("signin.wrong") : error.message;
      problem.hidden = false;
      go.disabled = false;
      key.select();
    }
  };
  put(
    app,
    h(
      "main",
      { class: "gate" },
      h(
        "form",
        { class: "card form", onsubmit: submit },
        mark(64),
        h("h1", {}, t("signin.title")),
        h("input", { type: "text", autocomplete: "username", value: "facepool", hidden: true }), // what password managers file the key under
        field(t("signin.key"), key, t("signin.help")),
        problem,
        go,
      ),
    ),
  );
  key.focus();
}
