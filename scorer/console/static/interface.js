// Copies the code examples, and switches between their languages.

import { copy } from "./copy.js";
import { connect } from "./live.js";
import { makeTabs } from "./tabs.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button, button.parentElement.querySelector("pre")));
}
makeTabs(document.querySelector("[role=tablist]"));
connect();
