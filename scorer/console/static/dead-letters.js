// Dead letters: the newest ones, by code. A value is fetched on request, and dropped when it is hidden.

import { connect, createElement, formatNumber, formatTime, listen, request } from "./live.js";

let letters = [];
let meanings = {};
let selectedCode = null;
let counted = null; // dead letters that the console had counted when the list was loaded

const byId = (id) => document.getElementById(id);
const total = (codes) => Object.values(codes).reduce((sum, number) => sum + number, 0);

byId("refresh").addEventListener("click", load);
listen("state", showNews);
listen("tick", showNews);
connect();
load();

function showNews(data) {
  if (byId("refresh").disabled) return;
  const now = total(data.codes);
  counted ??= now;
  if (now < counted) counted = 0; // the console was restarted
  byId("news").textContent = now > counted ? `${formatNumber(now - counted)} new` : "";
}

async function load() {
  byId("refresh").disabled = true;
  byId("news").textContent = "loading…";
  try {
    const list = await request("/api/dead-letters");
    counted = null;
    ({ letters, meanings } = list);
    byId("fault").hidden = true;
    byId("empty").hidden = letters.length > 0;
    byId("skipped").hidden = !list.skipped;
    byId("skipped").textContent = `${formatNumber(list.skipped)} malformed records on the topic were skipped, for example ${list.skipped_first.join("; ")}`;
    showCodes(list);
    showLetters();
  } catch (error) {
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
  byId("refresh").disabled = false;
  byId("news").textContent = "";
}

function showCodes(list) {
  const buttons = [["all", list.counted], ...Object.entries(list.codes)].map(([code, number]) => {
    const chosen = code === (selectedCode ?? "all");
    const button = createElement("button", { type: "button", class: "quiet", "aria-pressed": String(chosen), title: meanings[code] }, `${code} ${formatNumber(number)}`);
    button.addEventListener("click", () => {
      selectedCode = code === "all" ? null : code;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      showLetters();
    });
    return button;
  });
  if (!list.counted) buttons.length = 0;
  byId("codes").replaceChildren(...buttons);
}

function showLetters() {
  byId("letters").replaceChildren(...letters.filter((letter) => !selectedCode || letter.counted_as === selectedCode).map(item));
}

function item(letter) {
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
    requeued, button, panel,
  );
}

async function showValue(letter, button, panel) {
  button.disabled = true;
  try {
    const content = await request(`/api/dead-letters/${letter.partition}/${letter.offset}/value`, { method: "POST" });
    const headers = content.headers.map(([name, text]) => `${name}: ${text}`).join("\n");
    panel.replaceChildren(
      createElement("p", { class: "meta" }, content.key === null ? "no key" : `key ${content.key}`),
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

function hideValue(button, panel) {
  panel.hidden = true;
  panel.replaceChildren();
  button.firstChild.textContent = "Show value";
  button.setAttribute("aria-expanded", "false");
}
