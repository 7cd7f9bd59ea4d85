// Tries applications: the form, its validation, and the result of each try.

import { bundleName, connect, createElement, formatSeconds, listen, request } from "./live.js";

const SHOWN_MAX = 20;
const form = document.getElementById("try");
const json = document.getElementById("json");
const validation = document.getElementById("validation");
const publish = document.getElementById("publish");
const tries = document.getElementById("tries");
const fields = [...document.querySelectorAll("#as-form input, #as-form select")];
const pending = new Map(); // id → { item, at } of a try without a result
const earlyResults = new Map(); // results that arrived before the response with the id of their try
let asJson = false;

for (const field of fields) field.addEventListener("input", validate);
json.addEventListener("input", validate);
document.getElementById("mode-form").addEventListener("click", () => choose(false));
document.getElementById("mode-json").addEventListener("click", () => choose(true));
form.addEventListener("submit", send);
listen("state", (state) => state.results.forEach(showResult));
listen("result", showResult);
connect();
validate();

/** The application in the form; empty fields are absent. */
function read() {
  const application = {};
  for (const field of fields) {
    if (field.value !== "") application[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return application;
}

function choose(useJson) {
  if (useJson && !asJson) json.value = JSON.stringify(read(), null, 2);
  asJson = useJson;
  document.getElementById("as-form").hidden = useJson;
  document.getElementById("as-json").hidden = !useJson;
  document.getElementById("mode-form").setAttribute("aria-pressed", String(!useJson));
  document.getElementById("mode-json").setAttribute("aria-pressed", String(useJson));
  validate();
}

/** Validates the form. An invalid application can be published nevertheless: the scorer rejects it with a reason. */
function validate() {
  let wrong = 0;
  for (const field of fields) {
    const { validity } = field;
    const bad = !validity.valid || (field.value !== "" && Number(field.value) <= Number(field.dataset.above ?? "-Infinity"));
    field.setAttribute("aria-invalid", String(bad));
    document.getElementById(`help-${field.name}`).classList.toggle("wrong", bad);
    wrong += bad ? 1 : 0;
  }
  if (asJson) {
    validation.textContent = isObject() ? "It will be published as is." : "This is not a JSON object, so it cannot be published.";
  } else if (wrong) {
    validation.textContent = `${wrong === 1 ? "1 field is" : `${wrong} fields are`} invalid: the application will be rejected.`;
  } else {
    validation.textContent = "The application is valid.";
  }
  publish.textContent = wrong && !asJson ? "Publish anyway" : "Publish";
}

function isObject() {
  try {
    const value = JSON.parse(json.value);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

async function send(event) {
  event.preventDefault();
  const body = asJson ? json.value : JSON.stringify(read());
  const item = createElement("li");
  document.getElementById("empty").hidden = true;
  tries.prepend(item);
  while (tries.children.length > SHOWN_MAX) tries.lastElementChild.remove();
  show(item, "…", "", "publishing", []);
  item.scrollIntoView({ block: "nearest" });
  const at = performance.now();
  try {
    const response = await request("/api/applications", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    show(item, "…", "", "published; waiting for a worker", [["application", response.id], ["record", recordName(response.source)]]);
    pending.set(response.id, { item, at });
    if (earlyResults.has(response.id)) showResult(earlyResults.get(response.id));
  } catch (fault) {
    show(item, "NOT PUBLISHED", "declined", fault.message, []);
    announce(`Not published: ${fault.message}`);
  }
}

/** Shows a result, which may belong to another user's try. */
function showResult(result) {
  const pendingTry = pending.get(result.id);
  if (!pendingTry) {
    earlyResults.set(result.id, result);
    if (earlyResults.size > 200) earlyResults.delete(earlyResults.keys().next().value);
    return;
  }
  pending.delete(result.id);
  const waited = ["received after", formatSeconds((performance.now() - pendingTry.at) / 1000)];
  if (result.kind === "REJECTED") {
    show(pendingTry.item, "REJECTED", "rejected", result.reason, [
      ["code", result.code], ["application", result.id], ["record", recordName(result.source)],
      ["dead letter", result.position], waited,
    ]);
    announce(`Rejected: ${result.reason}`);
    return;
  }
  const { decision } = result;
  const percent = `${(100 * decision.probability_of_default).toFixed(1)} %`;
  show(pendingTry.item, result.kind, result.kind.toLowerCase(), `probability of default ${percent}`, [
    ["application", result.id], ["record", recordName(decision.source)], ["bundle", bundleName(decision.bundle)],
    ["decision", decision.decision_id], waited,
  ], decision.probability_of_default);
  announce(`${result.kind}, probability of default ${percent}`);
}

function show(item, title, kind, text, facts, part = null) {
  const list = createElement("dl", { class: "facts" });
  for (const [name, value] of facts) list.append(createElement("dt", {}, name), createElement("dd", {}, value));
  const bar = part === null ? null : createElement("div", { class: `scale ${kind}`, "aria-hidden": "true" }, createElement("i"));
  if (bar) bar.firstChild.style.width = `calc(${100 * part}% + 2px)`;
  item.replaceChildren(createElement("p", { class: `kind ${kind}` }, title), createElement("p", {}, text), ...(bar ? [bar] : []), list);
}

function recordName(source) {
  return `${source.topic}, partition ${source.partition}, offset ${source.offset}`;
}

function announce(text) {
  document.getElementById("announce").textContent = text;
}
