// Dead letters: by code, and the newest ones in pages. A key and value are fetched on request, and dropped when hidden.
// Operators can requeue them; others can copy the command.

import { commandToCopy } from "./copy.js";
import { connect, createElement, formatMilliseconds, formatNumber, formatTime, listen, onRecovery, request } from "./live.js";
import { followRequeues, requeueButton } from "./requeue.js";

let selectedCode = null;
let first = 0;
let counted = null; // dead letters that the console had counted when the list was loaded
let loads = 0; // only the result of the last load is shown

const byId = (id) => document.getElementById(id);
const total = (codes) => Object.values(codes).reduce((sum, number) => sum + number, 0);

byId("refresh").addEventListener("click", () => load(0));
byId("previous").addEventListener("click", () => load(Math.max(0, first - byId("letters").children.length)));
byId("next").addEventListener("click", () => load(first + byId("letters").children.length));
addEventListener("hashchange", showLinked);
listen("state", showNews);
listen("tick", showNews);
onRecovery(() => {
  if (!byId("fault").hidden) load(first);
  if (byId("linked-letter").querySelector(".fault")) showLinked();
});
followRequeues(() => {
  load(first);
  showLinked();
});
connect();
load(0);
showLinked();

function showNews(data) {
  if (byId("refresh").disabled) return;
  const now = total(data.codes);
  counted ??= now;
  if (now < counted) counted = 0; // the console was restarted
  byId("news").textContent = now > counted ? `${formatNumber(now - counted)} new` : "";
}

async function load(from) {
  const number = ++loads;
  byId("refresh").disabled = true;
  byId("news").textContent = "loading…";
  try {
    const query = new URLSearchParams(selectedCode ? { first: from, code: selectedCode } : { first: from });
    const list = await request(`/api/dead-letters?${query}`);
    if (number !== loads) return;
    if (!list.letters.length && from > 0) return load(0);
    counted = null;
    show(list);
  } catch (error) {
    if (number !== loads) return;
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
  byId("refresh").disabled = false;
  byId("news").textContent = "";
}

function show(list) {
  ({ first } = list);
  const { letters } = list;
  byId("fault").hidden = true;
  byId("empty").hidden = list.counted > 0;
  byId("groups-section").hidden = byId("letters-section").hidden = list.counted === 0;
  byId("skipped").hidden = !list.skipped;
  byId("skipped").textContent = `${formatNumber(list.skipped)} malformed records on the topic were skipped, for example ${list.skipped_first.join("; ")}`;
  byId("counted").textContent = `${formatNumber(list.counted)} on the newest ${formatNumber(list.offsets_read)} offsets of each partition`;
  showGroups(list);
  byId("range").textContent = `${selectedCode ? `${selectedCode}, ` : ""}${formatNumber(first + 1)} to ${formatNumber(first + letters.length)} of ${formatNumber(list.total)}`;
  showRequeueOfCode(list);
  byId("letters").replaceChildren(...letters.map((letter) => item(letter, list.may_requeue)));
  byId("paging").hidden = list.total <= letters.length;
  byId("previous").disabled = first === 0;
  byId("next").disabled = first + letters.length >= list.total;
}

function showGroups(list) {
  const focused = document.activeElement?.dataset.code;
  const all = { code: "all", count: list.counted, first_ms: null, last_ms: null, meaning: "" };
  byId("groups").replaceChildren(...[all, ...list.groups].map((group) => {
    const isChosen = group.code === (selectedCode ?? "all");
    const button = createElement("button", { type: "button", class: "quiet", "aria-pressed": String(isChosen), "data-code": group.code }, group.code);
    button.addEventListener("click", () => {
      selectedCode = group.code === "all" ? null : group.code;
      load(0);
    });
    return createElement(
      "tr", {}, createElement("th", { scope: "row" }, button),
      cell("count", formatNumber(group.count), "number"), cell("first seen", seen(group, "first_ms")), cell("last seen", seen(group, "last_ms")),
      cell("meaning", group.meaning.replaceAll("`", "")),
    );
  }));
  if (focused) byId("groups").querySelector(`[data-code="${CSS.escape(focused)}"]`)?.focus();
}

/** The button, or the command, for all dead letters of the selected code. */
function showRequeueOfCode(list) {
  const group = list.groups.find(({ code }) => code === selectedCode);
  byId("requeue-code").hidden = !group || group.code === "other";
  if (byId("requeue-code").hidden) return;
  const { code, requeueable } = group;
  byId("requeue-code").replaceChildren(
    ...(list.may_requeue && requeueable.count
      ? [requeueButton(`Requeue all ${formatNumber(requeueable.count)}`, ` with code ${code}`, { code, ...requeueable })]
      : ["Requeue all of them: ", commandToCopy(`scorer dlq requeue --code ${code}`, `the command that requeues all ${code}`)]),
  );
}

function seen(group, name) {
  if (group.code === "all") return "";
  return group[name] === null ? "–" : formatMilliseconds(group[name]);
}

function cell(label, content, kind = null) {
  return createElement("td", { "data-label": label, class: kind }, createElement("span", {}, content));
}

/** Shows the dead letter that the address names after `#`, as partition:offset. */
async function showLinked() {
  const position = /^#(\d{1,10}):(\d{1,18})$/.exec(location.hash);
  byId("linked").hidden = !position;
  if (!position) return;
  let element;
  try {
    const letter = await request(`/api/dead-letters/${position[1]}/${position[2]}`);
    element = item(letter, letter.may_requeue);
  } catch (error) {
    element = createElement("li", {}, createElement("p", { class: "fault", role: "alert" }, error.message));
  }
  byId("linked-letter").replaceChildren(element);
}

function item(letter, mayRequeue) {
  const { topic, partition, offset } = letter.source;
  const position = `${letter.partition}:${letter.offset}`;
  const panel = createElement("div", { class: "value-panel", hidden: "" });
  const name = createElement("span", { class: "visually-hidden" }, ` of dead letter ${position}`);
  const button = createElement("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Show value", name);
  button.addEventListener("click", () => (panel.hidden ? showValue(letter, button, panel) : hideValue(button, panel)));
  const requeued = letter.requeued
    ? createElement("p", { class: "meta" }, "requeued by ", createElement("b", {}, letter.requeued.actor), " ", formatTime(letter.requeued.at))
    : null;
  return createElement(
    "li", {},
    createElement("p", { class: "head" }, createElement("code", {}, letter.code), createElement("span", { class: "tag" }, `dead letter ${position}`), formatTime(letter.at)),
    createElement("p", {}, letter.reason),
    createElement("p", { class: "meta" }, `${topic}, partition ${partition}, offset ${offset}; ${formatNumber(letter.bytes)} bytes; ${letter.bundle.replace(/@(.{12}).*/, "@$1")}`),
    requeued, createElement("p", { class: "row-actions" }, button, ...requeueAction(letter, position, mayRequeue)), panel,
  );
}

/** The button of an operator, or the command to copy; nothing if the dead letter cannot be requeued, or was. */
function requeueAction(letter, position, mayRequeue) {
  if (letter.requeued) return [];
  if (letter.pointer) return [createElement("span", { class: "meta" }, `no copy of its record, which is at ${letter.pointer}: it cannot be requeued`)];
  if (!mayRequeue) return [commandToCopy(`scorer dlq requeue ${position}`, `the command that requeues dead letter ${position}`)];
  const ranges = [[letter.partition, letter.offset, letter.offset]];
  return [requeueButton("Requeue", ` dead letter ${position}`, { code: letter.counted_as, ranges, count: 1 })];
}

async function showValue(letter, button, panel) {
  button.disabled = true;
  try {
    const content = await request(`/api/dead-letters/${letter.partition}/${letter.offset}/value`, { method: "POST" });
    const headers = content.headers.map(([name, text]) => `${name}: ${text}`).join("\n");
    panel.replaceChildren(
      createElement("p", { class: "meta" }, ...describeKey(content.key)),
      createElement("pre", { tabindex: "0", "aria-label": "Value" }, content.value || "(empty)", content.cut ? "\n… (cut)" : ""),
      headers ? createElement("pre", { tabindex: "0", "aria-label": "Headers" }, headers) : "",
    );
    button.firstChild.textContent = "Hide value";
    button.setAttribute("aria-expanded", "true");
  } catch (error) {
    panel.replaceChildren(createElement("p", { class: "fault", role: "alert" }, error.message));
  }
  panel.hidden = false;
  button.disabled = false;
  button.focus();
}

function describeKey(key) {
  if (key === null) return ["no key"];
  return [`key ${key} `, createElement("a", { href: `/applications#${encodeURIComponent(key)}` }, "History of this application")];
}

function hideValue(button, panel) {
  panel.hidden = true;
  panel.replaceChildren();
  button.firstChild.textContent = "Show value";
  button.setAttribute("aria-expanded", "false");
}
