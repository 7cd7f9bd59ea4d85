// The review queue: MAYBE decisions, the oldest first, with a form for each; pages of the queue.

import { connect, createElement, formatMilliseconds, formatNumber, listen, request } from "./live.js";
import { describeWaiting, formatProbability, reasonList, reviewForm, valuesButton } from "./review-form.js";

const PAGE = 25;
const byId = (id) => document.getElementById(id);
let first = 0;
let isLoaded = false;
let wasComplete = false; // whether the console had read all decisions that wait

if (byId("queue")) {
  byId("refresh").addEventListener("click", () => load(first));
  byId("previous").addEventListener("click", () => load(Math.max(0, first - PAGE)));
  byId("next").addEventListener("click", () => load(first + PAGE));
  listen("state", showNews);
  listen("tick", showNews);
}
connect();

/** Shows how many decisions wait, and loads the list as soon as it can be. */
function showNews({ reviews }) {
  if (reviews && !wasComplete && !isLoaded) load(first);
  wasComplete = Boolean(reviews);
  if (!reviews) byId("news").textContent = "reading the decisions…";
  else if (!reviews.waiting) byId("news").textContent = "none waiting";
  else byId("news").textContent = `${formatNumber(reviews.waiting)} waiting, the oldest for ${formatAge(Date.now() - reviews.oldest_ms)}`;
}

async function load(from) {
  byId("refresh").disabled = true;
  try {
    const page = await request(`/api/reviews?first=${from}&count=${PAGE}`);
    if (!page.decisions.length && from > 0) return load(Math.max(0, from - PAGE));
    first = from;
    isLoaded = true;
    byId("fault").hidden = true;
    byId("empty").hidden = page.waiting > 0;
    byId("queue").replaceChildren(...page.decisions.map((decision) => item(decision, page)));
    byId("paging").hidden = page.waiting <= PAGE;
    byId("range").textContent = `${formatNumber(first + 1)}–${formatNumber(first + page.decisions.length)} of ${formatNumber(page.waiting)}`;
    byId("previous").disabled = first === 0;
    byId("next").disabled = first + page.decisions.length >= page.waiting;
  } catch (error) {
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  } finally {
    byId("refresh").disabled = false;
  }
}

function item(decision, { now_ms: nowMs, reviewer }) {
  const name = `application ${decision.application_id}`;
  const panel = createElement("div", { class: "value-panel", hidden: "" });
  const open = createElement("button", { type: "button", "aria-expanded": "false" }, "Review", createElement("span", { class: "visually-hidden" }, ` ${name}`));
  const [values, valuePanel] = valuesButton(decision.source, name);
  const history = createElement("a", { href: `/applications#${encodeURIComponent(decision.application_id)}` }, "History", createElement("span", { class: "visually-hidden" }, ` of ${name}`));
  const element = createElement(
    "li", {},
    createElement("p", { class: "head" }, createElement("b", { class: "maybe" }, decision.application_id), createElement("span", { class: "tag" }, formatProbability(decision.probability_of_default)), decision.at_ms === null ? "" : createElement("span", { class: "tag" }, `waiting for ${formatAge(nowMs - decision.at_ms)}`), formatMilliseconds(decision.at_ms)),
    reasonList(decision.reasons),
    decision.pending.length ? createElement("p", { class: "meta" }, describeWaiting(decision.pending, reviewer)) : "",
    createElement("p", { class: "meta" }, `${decision.bundle.name}:${decision.bundle.version}@${decision.bundle.digest.slice(0, 12)}`),
    createElement("p", { class: "row-actions" }, decision.pending.includes(reviewer) ? "" : open, values, history), valuePanel, panel,
  );
  open.addEventListener("click", () => {
    if (panel.hidden) panel.replaceChildren(reviewForm({ ...decision, supersedes: null }, (answer) => showReviewed(element, decision, answer)));
    else panel.replaceChildren();
    panel.hidden = !panel.hidden;
    open.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) panel.querySelector("input").focus();
  });
  return element;
}

/** Replaces the item by its result, and continues with the next decision. */
function showReviewed(element, decision, { label, pending }) {
  const effect = pending ?? "your review is the decision of record";
  const result = `${decision.application_id}: ${label}`;
  element.replaceChildren(createElement("p", { class: "head" }, createElement("b", {}, decision.application_id), createElement("span", { class: `kind ${label.toLowerCase()}` }, label), createElement("span", { class: "meta" }, effect)));
  byId("announce").textContent = `${result}. ${effect[0].toUpperCase()}${effect.slice(1)}.`;
  const next = element.nextElementSibling?.querySelector("button");
  if (next) next.focus();
  else byId("refresh").focus();
}

function formatAge(ms) {
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
}
