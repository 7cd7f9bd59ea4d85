// The history of deployments, newest first; a new one comes by itself.

import { ask, bundleName, connect, listen, make, moment } from "./live.js";

let shown = null;
let unswitched = [];

listen("whole", load);
listen("tick", load);
connect();

async function load(data) {
  if (data.workers !== null) unswitched = data.unswitched;
  mark();
  if (data.workers === null || shown === data.deployments) return;
  const isNew = shown !== null;
  shown = data.deployments;
  const fault = document.getElementById("fault");
  try {
    const history = await ask("/api/deployments");
    fault.hidden = true;
    document.getElementById("empty").hidden = history.length > 0;
    const items = history.map(item);
    document.getElementById("history").replaceChildren(...items);
    mark();
    if (isNew && items.length) document.getElementById("announce").textContent = items[0].textContent;
  } catch (error) {
    fault.hidden = false;
    fault.textContent = error.message;
    shown = null; // the next second asks again
  }
}

/** Marks the deployments that workers do not follow; what is marked already stays untouched, so that it is read once. */
function mark() {
  for (const place of document.querySelectorAll("#history .unswitched")) {
    const entry = unswitched.find(({ offset }) => String(offset) === place.dataset.offset);
    const lines = entry ? [entry.text, ...entry.reasons] : [];
    if (place.dataset.says === lines.join("\n")) continue;
    place.dataset.says = lines.join("\n");
    place.hidden = !entry;
    place.replaceChildren(...lines.map((line, at) => make(at ? "span" : "b", {}, line)));
    if (entry) place.append(make("span", {}, "Take it back: ", make("code", {}, entry.slot === "champion" ? "scorer rollback" : "scorer retire")));
  }
}

function item(line) {
  if (line.fault) {
    return make("li", {}, make("span", { class: "tag" }, `offset ${line.offset}`), make("p", {}, `This line is no event and counts for nothing: ${line.fault}`));
  }
  const what = line.action === "retire"
    ? ["retire ", make("b", {}, bundleName(line.previous))]
    : [`${line.action} `, make("b", {}, bundleName(line.bundle)), ` instead of ${bundleName(line.previous)}`];
  return make(
    "li", {}, moment(line.at),
    make("div", {},
      make("p", { class: "what" }, ...what, " ", make("span", { class: "tag" }, line.slot)),
      make("p", { class: "why" }, `“${line.reason}” by ${line.actor}`),
      make("p", { class: "fault unswitched", hidden: "", "data-offset": line.offset })),
  );
}
