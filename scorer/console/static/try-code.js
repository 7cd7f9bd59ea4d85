// Code that publishes the application on the page, by language; it follows the form while it is open.

import { copy } from "./copy.js";
import { request } from "./live.js";
import { makeTabs } from "./tabs.js";

const DELAY_MS = 400; // after the last change
const byId = (id) => document.getElementById(id);

/** Shows the code of the application that `readBody` returns as JSON, and again when the form changes. */
export function showCode(form, readBody) {
  let language = "kcat";
  let codes = {};
  let timer = 0;
  let requests = 0; // only the response to the last request is shown

  const show = () => { byId("code").textContent = codes[language] ?? ""; };
  async function load() {
    if (!byId("as-code").open) return;
    const number = ++requests;
    let fault = "";
    let loaded = {};
    try {
      loaded = await request("/api/code", { method: "POST", headers: { "Content-Type": "application/json" }, body: readBody() });
    } catch (error) {
      fault = error.message;
    }
    if (number !== requests) return;
    codes = loaded;
    byId("code-fault").hidden = !fault;
    byId("code-fault").textContent = fault;
    show();
  }

  makeTabs(document.querySelector("#as-code [role=tablist]"), (tab) => {
    language = tab.textContent.trim();
    byId("code-panel").setAttribute("aria-labelledby", tab.id);
    show();
  });
  byId("as-code").addEventListener("toggle", load);
  byId("copy-code").addEventListener("click", () => copy(byId("copy-code"), byId("code")));
  for (const event of ["input", "change", "click"]) {
    form.addEventListener(event, () => {
      clearTimeout(timer);
      timer = setTimeout(load, DELAY_MS);
    });
  }
}
