// Copies the code examples.

import { connect } from "./live.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    const status = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied.";
    } catch { // not allowed without HTTPS, except on localhost: select the code, to copy it with the keyboard
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      status.textContent = "Selected: copy it with your keyboard.";
    }
    button.firstChild.textContent = status.textContent === "Copied." ? "Copied" : "Selected";
    setTimeout(() => { button.firstChild.textContent = "Copy"; }, 2000);
  });
}
connect();
