// Copies the code examples, and switches between their languages.

import { copy } from "./copy.js";
import { connect } from "./live.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button, button.parentElement.querySelector("pre")));
}
connect();
