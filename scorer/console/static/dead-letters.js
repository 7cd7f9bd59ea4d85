// Dead letters: the newest, by code; what one holds is asked for alone, and forgotten when it is hidden.

import { ask, connect, count, listen, make, moment } from "./live.js";

let letters = [];
let meanings = {};
let wanted = null;
let known = null; // dead letters that were counted by the console when the list was loaded

const place = (id) => document.getElementById(id);
const total = (codes) => Object.values(codes).reduce((sum, number) => sum + number, 0);

place("refresh").addEventListener("click", load);
listen("whole", news);
listen("tick", news);
connect();
load();

function news(data) {
  if (place("refresh").disabled) return;
  const now = total(data.codes);
  known ??= now;
  if (now < known) known = 0; // the console was started anew
  place("news").textContent = now > known ? `${count(now - known)} more since` : "";
}

async function load() {
  place("refresh").disabled = true;
  place("news").textContent = "loading…";
  try {
    const found = await ask("/api/dead-letters");
    known = null;
    ({ letters, meanings } = found);
    place("fault").hidden = true;
    place("empty").hidden = letters.length > 0;
    place("skipped").hidden = !found.skipped;
    place("skipped").textContent = `${count(found.skipped)} records on the topic are not dead letters and were skipped, such as ${found.skipped_first.join("; ")}`;
    showCodes(found);
    showLetters();
  } catch (error) {
    place("fault").hidden = false;
    place("fault").textContent = error.message;
  }
  place("refresh").disabled = false;
  place("news").textContent = "";
}

function showCodes(found) {
  const buttons = [["all", found.counted], ...Object.entries(found.codes)].map(([code, number]) => {
    const chosen = code === (wanted ?? "all");
    const button = make("button", { type: "button", class: "quiet", "aria-pressed": String(chosen), title: meanings[code] }, `${code} ${count(number)}`);
    button.addEventListener("click", () => {
      wanted = code === "all" ? null : code;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      showLetters();
    });
    return button;
  });
  if (!found.counted) buttons.length = 0;
  place("codes").replaceChildren(...buttons);
}

function showLetters() {
  place("letters").replaceChildren(...letters.filter((letter) => !wanted || letter.counted_as === wanted).map(item));
}

function item(letter) {
  const { topic, partition, offset } = letter.source;
  const where = `${letter.partition}:${letter.offset}`;
  const held = make("div", { class: "held", hidden: "" });
  const name = make("span", { class: "hidden" }, ` of dead letter ${where}`);
  const button = make("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Show what it holds", name);
  button.addEventListener("click", () => (held.hidden ? reveal(letter, button, held) : conceal(button, held)));
  const requeued = letter.requeued
    ? make("p", { class: "meta" }, "put back by ", make("b", {}, letter.requeued.actor), " ", moment(letter.requeued.at))
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
    const found = await ask(`/api/dead-letters/${letter.partition}/${letter.offset}/value`, { method: "POST" });
    const headers = found.headers.map(([name, text]) => `${name}: ${text}`).join("\n");
    held.replaceChildren(
      make("p", { class: "meta" }, found.key === null ? "no key" : `key ${found.key}`),
      make("pre", { tabindex: "0", "aria-label": "What the record holds" }, found.value || "(empty)", found.cut ? "\n… and more" : ""),
      headers ? make("pre", { tabindex: "0", "aria-label": "Its headers" }, headers) : "",
    );
    button.firstChild.textContent = "Hide it";
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
  button.firstChild.textContent = "Show what it holds";
  button.setAttribute("aria-expanded", "false");
}
