// The deployment history, newest first; new deployments appear by themselves.

import { bundleName, connect, createElement, formatTime, listen, request } from "./live.js";

let shown = null;
let unswitched = [];

listen("state", load);
listen("tick", load);
connect();

async function load(data) {
  if (data.workers !== null) unswitched = data.unswitched;
  markUnswitched();
  if (data.workers === null || shown === data.deployments) return;
  const isNew = shown !== null;
  shown = data.deployments;
  const fault = document.getElementById("fault");
  try {
    const history = await request("/api/deployments");
    fault.hidden = true;
    document.getElementById("empty").hidden = history.length > 0;
    const items = history.map(item);
    document.getElementById("history").replaceChildren(...items);
    markUnswitched();
    if (isNew && items.length) document.getElementById("announce").textContent = items[0].textContent;
  } catch (error) {
    fault.hidden = false;
    fault.textContent = error.message;
    shown = null; // retried in a second
  }
}

/** Marks deployments that workers have not switched to; unchanged marks stay, so that screen readers read them once. */
function markUnswitched() {
  for (const mark of document.querySelectorAll("#history .unswitched")) {
    const entry = unswitched.find(({ offset }) => String(offset) === mark.dataset.offset);
    const lines = entry ? [entry.text, ...entry.reasons] : [];
    if (mark.dataset.says === lines.join("\n")) continue;
    mark.dataset.says = lines.join("\n");
    mark.hidden = !entry;
    mark.replaceChildren(...lines.map((line, at) => createElement(at ? "span" : "b", {}, line)));
    if (entry) mark.append(createElement("span", {}, "To undo: ", createElement("code", {}, entry.slot === "champion" ? "scorer rollback" : "scorer retire")));
  }
}

function item(line) {
  if (line.fault) {
    return createElement("li", {}, createElement("span", { class: "tag" }, `offset ${line.offset}`), createElement("p", {}, `Malformed record, ignored: ${line.fault}`));
  }
  const action = line.action === "retire"
    ? ["retired ", createElement("b", {}, bundleName(line.previous))]
    : [line.action === "rollback" ? "rolled back to " : "deployed ", createElement("b", {}, bundleName(line.bundle)), ` (previous: ${bundleName(line.previous)})`];
  return createElement(
    "li", {}, formatTime(line.at),
    createElement("div", {},
      createElement("p", { class: "action" }, ...action, " ", createElement("span", { class: "tag" }, line.slot)),
      createElement("p", { class: "reason" }, `“${line.reason}” by ${line.actor}`),
      line.despite ? createElement("p", { class: "reason" }, `Deployed despite its review: “${line.despite}”`) : "",
      createElement("p", { class: "fault unswitched", hidden: "", "data-offset": line.offset })),
  );
}
