// Trying an application: the form, what the contract says of it, and what became of each try.

import { ask, bundleName, connect, listen, make, span } from "./live.js";

const SHOWN_MAX = 20;
const form = document.getElementById("try");
const json = document.getElementById("json");
const verdict = document.getElementById("verdict");
const publish = document.getElementById("publish");
const tries = document.getElementById("tries");
const fields = [...document.querySelectorAll("#as-form input, #as-form select")];
const pending = new Map(); // id → { item, at } of a try without an outcome
const early = new Map(); // outcomes that came before the answer that names their try
let asJson = false;

for (const field of fields) field.addEventListener("input", judge);
json.addEventListener("input", judge);
document.getElementById("mode-form").addEventListener("click", () => choose(false));
document.getElementById("mode-json").addEventListener("click", () => choose(true));
form.addEventListener("submit", send);
listen("whole", (whole) => whole.outcomes.forEach(settle));
listen("outcome", settle);
connect();
judge();

/** The application that the form holds; a field that is left empty is absent. */
function read() {
  const application = {};
  for (const field of fields) {
    if (field.value !== "") application[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return application;
}

function choose(wanted) {
  if (wanted && !asJson) json.value = JSON.stringify(read(), null, 2);
  asJson = wanted;
  document.getElementById("as-form").hidden = wanted;
  document.getElementById("as-json").hidden = !wanted;
  document.getElementById("mode-form").setAttribute("aria-pressed", String(!wanted));
  document.getElementById("mode-json").setAttribute("aria-pressed", String(wanted));
  judge();
}

/** Says what breaks the contract. It may be published all the same: the scorer has the last word, and says it. */
function judge() {
  let wrong = 0;
  for (const field of fields) {
    const { validity } = field;
    const bad = !validity.valid || (field.value !== "" && Number(field.value) <= Number(field.dataset.above ?? "-Infinity"));
    field.setAttribute("aria-invalid", String(bad));
    document.getElementById(`help-${field.name}`).classList.toggle("wrong", bad);
    wrong += bad ? 1 : 0;
  }
  if (asJson) {
    verdict.textContent = isObject() ? "It is published as it stands here." : "This is no JSON object yet: it cannot be published.";
  } else if (wrong) {
    verdict.textContent = `${wrong === 1 ? "One field breaks" : `${wrong} fields break`} the contract: published like this, it will be refused.`;
  } else {
    verdict.textContent = "It keeps to the contract.";
  }
  publish.textContent = wrong && !asJson ? "Publish it even so" : "Publish";
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
  const item = make("li");
  document.getElementById("empty").hidden = true;
  tries.prepend(item);
  while (tries.children.length > SHOWN_MAX) tries.lastElementChild.remove();
  show(item, "…", "", "publishing", []);
  item.scrollIntoView({ block: "nearest" });
  const at = performance.now();
  try {
    const answer = await ask("/api/applications", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    show(item, "…", "", "published; waiting for a worker", [["application", answer.id], ["record", recordName(answer.source)]]);
    pending.set(answer.id, { item, at });
    if (early.has(answer.id)) settle(early.get(answer.id));
  } catch (fault) {
    show(item, "NOT PUBLISHED", "declined", fault.message, []);
    announce(`Not published: ${fault.message}`);
  }
}

/** An outcome has come, perhaps of somebody else's try. */
function settle(outcome) {
  const found = pending.get(outcome.id);
  if (!found) {
    early.set(outcome.id, outcome);
    if (early.size > 200) early.delete(early.keys().next().value);
    return;
  }
  pending.delete(outcome.id);
  const waited = ["seen after", span((performance.now() - found.at) / 1000)];
  if (outcome.kind === "REJECTED") {
    show(found.item, "REFUSED", "rejected", outcome.reason, [
      ["code", outcome.code], ["application", outcome.id], ["record", recordName(outcome.source)],
      ["dead letter", outcome.place], waited,
    ]);
    announce(`Refused: ${outcome.reason}`);
    return;
  }
  const { decision } = outcome;
  const percent = `${(100 * decision.probability_of_default).toFixed(1)} %`;
  show(found.item, outcome.kind, outcome.kind.toLowerCase(), `probability of default ${percent}`, [
    ["application", outcome.id], ["record", recordName(decision.source)], ["bundle", bundleName(decision.bundle)],
    ["decision", decision.decision_id], waited,
  ], decision.probability_of_default);
  announce(`${outcome.kind}, probability of default ${percent}`);
}

function show(item, title, kind, text, facts, part = null) {
  const list = make("dl", { class: "facts" });
  for (const [name, value] of facts) list.append(make("dt", {}, name), make("dd", {}, value));
  const bar = part === null ? null : make("div", { class: `scale ${kind}`, "aria-hidden": "true" }, make("i"));
  if (bar) bar.firstChild.style.width = `calc(${100 * part}% + 2px)`;
  item.replaceChildren(make("p", { class: `kind ${kind}` }, title), make("p", {}, text), ...(bar ? [bar] : []), list);
}

function recordName(source) {
  return `${source.topic}, partition ${source.partition}, offset ${source.offset}`;
}

function announce(text) {
  document.getElementById("announce").textContent = text;
}
