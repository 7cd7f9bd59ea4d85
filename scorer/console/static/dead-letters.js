// Dead letters: the newest ones, by code. A value is fetched on request, and dropped when it is hidden.

import { ask, connect, count, listen, make, moment } from "./live.js";

let letters = [];
let meanings = {};
let selectedCode = null;
let counted = null; // dead letters that the console had counted when the list was loaded

const byId = (id) => document.getElementById(id);
const total = (codes) => Object.values(codes).reduce((sum, number) => sum + number, 0);

byId("refresh").addEventListener("click", load);
listen("whole", showNews);
listen("tick", showNews);
connect();
load();

function showNews(data) {
  if (byId("refresh").disabled) return;
  const now = total(data.codes);
  counted ??= now;
  if (now < counted) counted = 0; // the console was restarted
  byId("news").textContent = now > counted ? `${count(now - counted)} new` : "";
}

async function load() {
  byId("refresh").disabled = true;
  byId("news").textContent = "loading…";
  try {
    const list = await ask("/api/dead-letters");
    counted = null;
    ({ letters, meanings } = list);
    byId("fault").hidden = true;
    byId("empty").hidden = letters.length > 0;
    byId("skipped").hidden = !list.skipped;
    byId("skipped").textContent = `${count(list.skipped)} malformed records on the topic were skipped, for example ${list.skipped_first.join("; ")}`;
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
    const button = make("button", { type: "button", class: "quiet", "aria-pressed": String(chosen), title: meanings[code] }, `${code} ${count(number)}`);
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
  const where = `${letter.partition}:${letter.offset}`;
  const held = make("div", { class: "held", hidden: "" });
  const name = make("span", { class: "hidden" }, ` of dead letter ${where}`);
  const button = make("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Show value", name);
  button.addEventListener("click", () => (held.hidden ? reveal(letter, button, held) : conceal(button, held)));
  const requeued = letter.requeued
    ? make("p", { class: "meta" }, "requeued by ", make("b", {}, letter.requeued.actor), " ", moment(letter.requeued.at))
    : null;
  return make(
    "li", {},
    make("p", { class: "head" }, make("code", {}, letter.code), make("span", { class: "tag" }, `dead letter ${where}`), moment(letter.at)),
    make("p", {}, letter.reason),
    make("p", { class: "meta" }, `${topic}, partition ${partition}, offset ${offset}; ${count(letter.bytes)} bytes; ${letter.bundle.replace(/@(.{12}).*/, "@$1")}`),
    requeued, button, held,
  );
}

async function reveal(letter, button, held) {
  button.disabled = true;
  try {
    const content = await ask(`/api/dead-letters/${letter.partition}/${letter.offset}/value`, { method: "POST" });
    const headers = content.headers.map(([name, text]) => `${name}: ${text}`).join("\n");
    held.replaceChildren(
      make("p", { class: "meta" }, content.key === null ? "no key" : `key ${content.key}`),
      make("pre", { tabindex: "0", "aria-label": "Value" }, content.value || "(empty)", content.cut ? "\n… (cut)" : ""),
      headers ? make("pre", { tabindex: "0", "aria-label": "Headers" }, headers) : "",
    );
    button.firstChild.textContent = "Hide value";
    button.setAttribute("aria-expanded", "true");
  } catch (error) {
    held.replaceChildren(make("p", { class: "fault", role: "alert" }, error.message));
  }
  held.hidden = false;
  button.disabled = false;
  button.focus();
}

function conceal(button, held) {
  held.hidden = true;
  held.replaceChildren();
  button.firstChild.textContent = "Show value";
  button.setAttribute("aria-expanded", "false");
}
