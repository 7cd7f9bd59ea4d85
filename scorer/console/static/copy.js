// Buttons that copy text; a page that uses them has an element with the id "copied", which screen readers announce.

import { createElement } from "./live.js";

/** A button that copies a command, which is shown next to it. */
export function commandToCopy(command, description) {
  const code = createElement("code", {}, command);
  const button = createElement("button", { type: "button", class: "quiet" }, "Copy", createElement("span", { class: "visually-hidden" }, `: ${description}`));
  button.addEventListener("click", () => copy(button, code));
  return createElement("span", { class: "command" }, code, button);
}

/** Copies the text of an element, and says so on the button, whose first child is its label. */
export async function copy(button, source) {
  const status = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(source.textContent);
    status.textContent = "Copied.";
  } catch { // not allowed without HTTPS, except on localhost: select the text, to copy it with the keyboard
    getSelection().selectAllChildren(source);
    status.textContent = "Selected: copy it with your keyboard.";
  }
  button.firstChild.textContent = status.textContent === "Copied." ? "Copied" : "Selected";
  setTimeout(() => { button.firstChild.textContent = "Copy"; }, 2000);
}
