// Requeueing dead letters: the buttons of operators, the confirmation, and the state of the newest requeue.

import { createElement, formatNumber, formatTime, listen, request } from "./live.js";

let bundle = "the deployed bundle";
let selection = null; // what the confirmation is about: code, ranges, count
let own = 0; // number of the requeue that this page began, until it has ended
let ended = () => {};

const byId = (id) => document.getElementById(id);
const countOf = (count) => (count === 1 ? "1 dead letter" : `${formatNumber(count)} dead letters`);

/** Shows the newest requeue; `callback` is called when one that this page began has ended. */
export function followRequeues(callback) {
  ended = callback;
  listen("state", showState);
  listen("tick", showState);
  byId("confirm-cancel")?.addEventListener("click", () => byId("confirm").close());
  byId("confirm-requeue")?.addEventListener("click", requeue);
}

/** A button that requeues after a confirmation. `chosen` has a code, ranges ([partition, first, last]) and their count. */
export function requeueButton(label, name, chosen) {
  const button = createElement("button", { type: "button", class: "quiet" }, label, createElement("span", { class: "visually-hidden" }, name));
  button.addEventListener("click", () => confirm(chosen));
  return button;
}

function confirm(chosen) {
  selection = chosen;
  byId("confirm-title").textContent = `Requeue ${countOf(chosen.count)}?`;
  byId("confirm-code").textContent = chosen.code;
  byId("confirm-bundle").textContent = bundle;
  byId("confirm-fault").hidden = true;
  byId("confirm").showModal();
}

async function requeue() {
  const button = byId("confirm-requeue");
  button.disabled = true;
  byId("confirm-fault").hidden = true;
  const { code, ranges } = selection;
  try {
    const state = await request("/api/dead-letters/requeue", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ code, ranges }) });
    own = state.number;
    byId("confirm").close();
    showRequeue(state);
    byId("requeue-title").focus();
  } catch (error) {
    byId("confirm-fault").hidden = false;
    byId("confirm-fault").textContent = error.message;
  }
  button.disabled = false;
}

function showState({ deployed, requeue: state }) {
  if (deployed) bundle = deployed.bundle ? `the deployed bundle, ${deployed.bundle}` : "the default bundle, because none was deployed";
  if (state) showRequeue(state);
  if (!state || state.number !== own || !state.has_ended) return;
  own = 0;
  ended();
}

function showRequeue(state) {
  byId("requeue").hidden = false;
  const description = describe(state);
  const status = byId("requeue-status");
  if (status.dataset.text !== description) { // only on change, so that screen readers do not repeat it
    status.dataset.text = description;
    status.replaceChildren(`${description} `, formatTime(state.began_at));
  }
  byId("requeue-progress").hidden = state.has_ended;
  if (state.total === null) byId("requeue-bar").removeAttribute("value");
  else Object.assign(byId("requeue-bar"), { max: Math.max(1, state.total), value: state.done });
  byId("requeue-count").textContent = state.total === null ? "reading the dead letters…" : `${formatNumber(state.done)} of ${formatNumber(state.total)}`;
  const fault = byId("requeue-fault");
  if (fault.textContent !== state.error) fault.textContent = state.error;
  fault.hidden = !state.error;
}

function describe({ operator, code, done, error, requeued_before: before, pointers, has_ended: hasEnded }) {
  if (!hasEnded) return `${operator} is requeueing dead letters with code ${code}.`;
  if (error) return `The requeue of dead letters with code ${code} by ${operator} ended early, after ${formatNumber(done)}.`;
  const parts = [`${operator} requeued ${countOf(done)} with code ${code}.`];
  if (before) parts.push(`${countOf(before)} had been requeued before.`);
  if (pointers) parts.push(`${countOf(pointers)} without a copy of the record cannot be requeued.`);
  return parts.join(" ");
}
