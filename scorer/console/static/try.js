// Tries applications: the form of the contract, its validation, and the result of each try.

import { describe, ticks } from "./histogram.js";
import { bundleName, connect, createElement, formatSeconds, isReadable, listen, onRecovery, readPolicy, request } from "./live.js";
import { showCode } from "./try-code.js";
import { saveTry, savedTries, TRIES_MAX } from "./try-ids.js";

const NAMED_MAX = 5; // invalid fields that are named
const form = document.getElementById("try");
const json = document.getElementById("json");
const example = document.getElementById("example");
const find = document.getElementById("find"); // null in a short form
const validation = document.getElementById("validation");
const publish = document.getElementById("publish");
const tries = document.getElementById("tries");
const contract = document.getElementById("contract").dataset.sha256;
// Objects and fields of the contract in its order: an object is before what it contains.
const members = [...document.querySelectorAll("#as-form [data-path]")].map((element) => ({
  element,
  path: JSON.parse(element.dataset.path),
  isGroup: element.matches("fieldset"),
  sent: element.querySelector(":scope > .sent, :scope > .control > .sent"), // what is sent instead of the input's value
  control: element.querySelector(":scope > .control > [name]"),
}));
const pending = new Map(); // id → { item, at } of a try without a result; at is null if it was published before the page was loaded
const earlyResults = new Map(); // results that arrived before the response with the id of their try
const sentences = new Map(); // digest of a bundle → promise of the sentences of its reasons, by code
let asJson = false;
let isReady = false;

form.addEventListener("input", (event) => {
  if (event.target !== example && event.target !== find) validate();
});
example.addEventListener("change", fillIn);
find?.addEventListener("input", filter);
find?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault(); // which would publish
});
document.getElementById("mode-form").addEventListener("click", () => choose(false));
document.getElementById("mode-json").addEventListener("click", () => choose(true));
form.addEventListener("submit", send);
listen("state", (state) => {
  state.results.forEach(showResult);
  if (isReadable(state)) lookUpTries();
});
onRecovery(lookUpTries);
listen("result", showResult);
listTries();
connect();
isReady = true; // earlier, the browser itself would send the form, with its values in the address
validate();
showCode(form, body);

/** The application in the form. */
function read() {
  const application = Object.create(null); // any name is a property of its own, __proto__ too
  for (const member of members) {
    const value = member.element.dataset.inactive ? undefined : readMember(member);
    if (value === undefined) continue;
    const container = member.path.slice(0, -1).reduce((object, name) => object[name], application);
    container[member.path.at(-1)] = value;
  }
  return application;
}

/** The value of a member; undefined if it is not sent. */
function readMember({ isGroup, sent, control }) {
  const chosen = sent?.value ?? (isGroup ? "{}" : "typed");
  if (chosen === "{}") return Object.create(null);
  if (chosen !== "typed") return chosen === "" ? undefined : JSON.parse(chosen);
  const { type, value } = control;
  if (type === "select-one") return value === "" ? undefined : JSON.parse(value);
  if (value === "") return "empty" in control.dataset ? "" : undefined;
  if (type === "number") return Number(value);
  if (type === "datetime-local") return `${value.length === 16 ? `${value}:00` : value}Z`; // RFC 3339 has seconds
  return value;
}

/** Disables what is not sent: fields of an object that is not sent, and inputs of fields that are sent as unknown. */
function disable() {
  for (const { element, sent, control } of members) {
    const group = element.parentElement.closest("fieldset");
    const inactive = group !== null && (Boolean(group.dataset.inactive) || (group.dataset.sent ?? "{}") !== "{}");
    if (inactive) element.dataset.inactive = "true";
    else delete element.dataset.inactive;
    if (sent) {
      sent.disabled = inactive;
      element.dataset.sent = sent.value;
    }
    if (control) control.disabled = inactive || (sent !== null && sent.value !== "typed");
  }
}

function choose(useJson, text = null) {
  if (useJson && (text !== null || !asJson)) json.value = text ?? JSON.stringify(read(), null, 2);
  asJson = useJson;
  document.getElementById("as-form").hidden = useJson;
  document.getElementById("as-json").hidden = !useJson;
  document.getElementById("mode-form").setAttribute("aria-pressed", String(!useJson));
  document.getElementById("mode-json").setAttribute("aria-pressed", String(useJson));
  if (find) find.hidden = useJson;
  validate();
}

/** Fills in an example as JSON: the form cannot hold invalid ones. */
function fillIn() {
  if (example.value === "") return;
  const { expected } = example.selectedOptions[0].dataset;
  choose(true, example.value);
  validation.textContent = expected ? `It will be rejected: ${expected}` : "The application is valid.";
}

/** Shows the fields with a text in their label or name. */
function filter() {
  const text = find.value.trim().toLowerCase();
  for (const { element, control, isGroup } of members) {
    if (isGroup) continue;
    const label = element.querySelector("label").textContent;
    element.hidden = !`${label} ${control.name}`.toLowerCase().includes(text);
  }
  for (const { element, isGroup } of members) {
    if (isGroup) element.hidden = element.querySelector(".field:not([hidden])") === null;
  }
}

/** Validates the form. An invalid application can be published nevertheless: the scorer rejects it with a reason. */
function validate() {
  disable();
  const invalid = [];
  for (const { control } of members) {
    if (!control) continue;
    const bad = isInvalid(control);
    control.setAttribute("aria-invalid", String(bad));
    document.getElementById(`${control.id}-help`).classList.toggle("wrong", bad);
    if (bad) invalid.push(control);
  }
  if (asJson) {
    validation.textContent = isObject() ? "It will be published as is." : "This is not a JSON object, so it cannot be published.";
  } else if (invalid.length) {
    const count = invalid.length === 1 ? "1 field is invalid" : `${invalid.length} fields are invalid`;
    validation.replaceChildren(`${count}: the application will be rejected. `, ...invalid.slice(0, NAMED_MAX).map(linkTo));
  } else {
    validation.textContent = "The application is valid.";
  }
  publish.textContent = invalid.length && !asJson ? "Publish anyway" : "Publish";
  publish.disabled = !isReady || (asJson && !isObject());
}

function isInvalid({ disabled, validity, value, type, dataset }) {
  if (disabled) return false;
  if (!validity.valid) return true;
  if (value === "") return false;
  if (type === "number") return Number(value) <= Number(dataset.above) || Number(value) >= Number(dataset.below);
  if (type !== "text") return false;
  const characters = [...value].length;
  return characters < Number(dataset.shortest) || characters > Number(dataset.longest ?? Infinity);
}

/** A button that leads to an invalid field. */
function linkTo(control) {
  const button = createElement("button", { type: "button", class: "link" }, control.labels[0].firstChild.textContent.trim());
  button.addEventListener("click", () => {
    if (find?.value) {
      find.value = "";
      filter();
    }
    control.focus();
  });
  return button;
}

function isObject() {
  try {
    const value = JSON.parse(json.value);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The application as JSON. */
function body() {
  return asJson ? json.value : JSON.stringify(read());
}

async function send(event) {
  event.preventDefault();
  const item = createElement("li");
  document.getElementById("empty").hidden = true;
  tries.prepend(item);
  while (tries.children.length > TRIES_MAX) tries.lastElementChild.remove();
  show(item, "…", "", "publishing", []);
  item.scrollIntoView({ block: "nearest" });
  const at = performance.now();
  try {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: body() };
    const response = await request(`/api/applications?contract=${contract}`, options);
    show(item, "…", "", "published; waiting for a worker", [["application", response.id], ["record", recordName(response.source)]]);
    pending.set(response.id, { item, at });
    saveTry(response.id);
    if (earlyResults.has(response.id)) showResult(earlyResults.get(response.id));
  } catch (fault) {
    show(item, "NOT PUBLISHED", "declined", fault.message, []);
    announce(`Not published: ${fault.message}`);
  }
}

/** Lists the tries that this tab published before the page was loaded. */
function listTries() {
  for (const id of savedTries()) {
    const item = createElement("li");
    tries.append(item);
    show(item, "…", "", "loading the result", [["application", id]]);
    pending.set(id, { item, at: null });
  }
  document.getElementById("empty").hidden = pending.size > 0;
}

/** Looks up the results of those that the console does not remember: it was restarted, or many were tried since. */
async function lookUpTries() {
  for (const [id, { item, at }] of [...pending]) {
    if (at !== null) continue;
    try {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ application_id: id }) };
      const { events } = await request("/api/applications/history", options);
      showResult(asResult(id, events.find(({ kind }) => ["decided", "corrected", "rejected"].includes(kind))));
    } catch (fault) {
      if (pending.has(id)) show(item, "…", "", fault.message, [["application", id]]);
    }
  }
}

/** An event of an application's history as the result of a try. */
function asResult(id, event) {
  if (event.kind === "rejected") return { ...event, id, kind: "REJECTED" };
  return { id, kind: event.decision, decision: { ...event, reasons: event.reasons.map(({ code }) => code) } };
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
  const isNew = pendingTry.at !== null;
  const waited = isNew ? [["received after", formatSeconds((performance.now() - pendingTry.at) / 1000)]] : [];
  if (result.kind === "REJECTED") {
    show(pendingTry.item, "REJECTED", "rejected", result.reason, [
      ["code", result.code], ["application", result.id], ["record", recordName(result.source)],
      ["dead letter", createElement("a", { href: `/dead-letters#${result.position}` }, result.position)], ...waited,
    ]);
    if (isNew) announce(`Rejected: ${result.reason}`);
    return;
  }
  const { decision } = result;
  const percent = `${(100 * decision.probability_of_default).toFixed(1)} %`;
  show(pendingTry.item, result.kind, result.kind.toLowerCase(), `probability of default ${percent}`, [
    ...listReasons(decision), ["application", result.id], ["record", recordName(decision.source)], ["bundle", bundleName(decision.bundle)],
    ["decision", decision.decision_id], ...waited,
  ], decision);
  if (isNew) announce(`${result.kind}, probability of default ${percent}`);
}

/** A decision's reasons, most important first: sentence and code, or the code alone if the store lacks the bundle. */
function listReasons({ reasons, bundle }) {
  if (!reasons?.length) return [];
  const texts = reasons.map((code) => createElement("span", {}, createElement("code", {}, code)));
  readSentences(bundle).then((found) => {
    reasons.forEach((code, position) => {
      if (Object.hasOwn(found, code)) texts[position].prepend(`${found[code]} `);
    });
  });
  return texts.map((text, position) => [`reason ${position + 1}`, text]);
}

/** Requests the sentences of a bundle once; a failed request means none, and is repeated for the next decision. */
function readSentences({ name, version, digest }) {
  if (!sentences.has(digest)) {
    const found = request(`/api/reasons?${new URLSearchParams({ name, version, digest })}`);
    sentences.set(digest, found.catch(() => {
      sentences.delete(digest);
      return {};
    }));
  }
  return sentences.get(digest);
}

function show(item, title, kind, text, facts, decision = null) {
  const list = createElement("dl", { class: "facts" });
  for (const [name, value] of facts) list.append(createElement("dt", {}, name), createElement("dd", {}, value));
  item.replaceChildren(createElement("p", { class: `kind ${kind}` }, title), createElement("p", {}, text), ...(decision ? scale(decision, kind) : []), list);
}

/** The probability on a scale from 0 to 1 with the thresholds of its bundle, and these in words. */
function scale({ probability_of_default: probability, bundle: { name, version, digest } }, kind) {
  const bar = createElement("div", { class: `scale ${kind}`, "aria-hidden": "true" }, createElement("i"));
  bar.firstChild.style.width = `calc(${100 * probability}% + 2px)`;
  const note = createElement("p", { class: "note thresholds" }, "…");
  readPolicy(`${name}:${version}@${digest}`).then((policy) => {
    bar.append(...ticks(policy));
    note.textContent = describe(policy);
  });
  return [bar, note];
}

function recordName(source) {
  return `${source.topic}, partition ${source.partition}, offset ${source.offset}`;
}

function announce(text) {
  document.getElementById("announce").textContent = text;
}
