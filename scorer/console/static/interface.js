// Copying the examples.

import { connect } from "./live.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    const said = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch { // without HTTPS only this machine's own pages may: select it, so that a key copies it
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
      said.textContent = "Selected: copy it with your keyboard.";
    }
    button.firstChild.textContent = said.textContent === "Copied." ? "Copied" : "Selected";
    setTimeout(() => { button.firstChild.textContent = "Copy"; }, 2000);
  });
}
connect();
