// One application: searched by its id, which is part of the page's fragment and never sent in a URL.

import { bundleName, connect, createElement, formatMilliseconds, formatNumber, onRecovery, request } from "./live.js";
import { describeWaiting, formatProbability, reasonList, reviewForm, valuesButton } from "./review-form.js";

const byId = (id) => document.getElementById(id);
const input = byId("application-id");
let searches = 0; // only the result of the last search is shown

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const fragment = `#${encodeURIComponent(input.value)}`;
  if (location.hash === fragment) search();
  else location.hash = fragment;
});
addEventListener("hashchange", search);
onRecovery(() => {
  if (!byId("fault").hidden) search();
});
connect();
search();

async function search() {
  const id = decode(location.hash.slice(1));
  if (!id) return;
  const number = ++searches;
  input.value = id;
  byId("fault").hidden = true;
  byId("announce").textContent = "searching…";
  byId("record").hidden = true;
  byId("timeline").replaceChildren();
  try {
    const history = await request("/api/applications/history", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ application_id: id }) });
    if (number !== searches) return;
    showRecord(history);
    byId("timeline").replaceChildren(...history.events.map((event) => createElement("li", {}, formatMilliseconds(event.at_ms), createElement("div", {}, ...DESCRIPTIONS[event.kind](event)))));
    const omitted = history.omitted ? `; ${formatNumber(history.omitted)} older records with this id are not shown` : "";
    byId("announce").textContent = `${history.events.length === 1 ? "1 event" : `${history.events.length} events`}, the oldest first${omitted}`;
  } catch (error) {
    if (number !== searches) return;
    byId("announce").textContent = "";
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
}

function showRecord(history) {
  const { record } = history;
  byId("record").hidden = !record;
  if (!record) return;
  byId("record-facts").replaceChildren(createElement("p", {}, kind(record.label), ` ${describeSource(record)}`));
  if (!history.may_review || record.decision !== "MAYBE") return byId("record-review").replaceChildren();
  const current = history.events.find((event) => event.is_current);
  const target = { application_id: history.application_id, decision_id: record.decision_id, reasons: current.reasons, supersedes: record.review_id };
  const summary = record.review_id ? "Replace the review" : "Review";
  byId("record-review").replaceChildren(createElement("details", {}, createElement("summary", {}, summary), reviewForm(target, search)));
}

function describeSource(record) {
  if (record.review_id) {
    const reviewers = record.agrees_with ? `${record.agrees_with} and ${record.reviewer}` : record.reviewer;
    const replacement = record.pending.length ? `; to replace it, ${describeWaiting(record.pending)}` : "";
    return `reviewed by ${reviewers}; the decision was ${record.decision}${replacement}`;
  }
  if (record.pending.length) return describeWaiting(record.pending);
  return record.decision === "MAYBE" ? "waits for a review" : "by the policy";
}

const EFFECTS = {
  counts: "",
  pending: " (another reviewer must agree)",
  none: " (does not count: another review was first)",
};

const DESCRIPTIONS = {
  published: (event) => {
    const place = `${event.topic}, partition ${event.partition}, offset ${event.offset}`;
    if (event.is_deleted) return [action("published"), meta(`${place}: the record was deleted by retention; the time is that of the decision`)];
    return [action("published"), meta(place), ...valuesButton(event, "the application")];
  },
  decided: decided,
  corrected: decided,
  reviewed: (event) => [
    action("reviewed ", kind(event.label), EFFECTS[event.effect]),
    createElement("p", {}, createElement("b", {}, event.reviewer), `: ${event.reason}`),
    event.comment ? createElement("p", { class: "reason" }, `“${event.comment}”`) : "",
    event.supersedes ? meta(`replaces the review ${event.supersedes}`) : "",
  ],
  rejected: (event) => [
    action("rejected ", createElement("code", {}, event.code)),
    createElement("p", {}, event.reason),
    createElement("p", { class: "reason" }, createElement("a", { href: `/dead-letters#${event.position}` }, `dead letter ${event.position}`), `; ${event.bundle.replace(/@(.{12}).*/, "@$1")}`),
    event.requeued ? meta(`requeued by ${event.requeued.actor}, ${event.requeued.at}`) : "",
  ],
};

function decided(event) {
  const policy = event.bundle_fault
    ? meta(`thresholds and sentences are not available: ${event.bundle_fault}`)
    : createElement("details", {}, createElement("summary", {}, "Policy"), createElement("ul", {}, ...event.policy.map((line) => createElement("li", {}, line))));
  return [
    action(event.kind === "corrected" ? "corrected to " : "decided ", kind(event.decision), ` ${formatProbability(event.probability_of_default)}`, event.is_current ? "" : createElement("span", { class: "tag" }, "not current")),
    event.decision === "APPROVED" ? "" : reasonList(event.reasons),
    meta(`${bundleName(event.bundle)}; decision ${event.decision_id}`),
    event.kind === "corrected" ? meta(`replay ${event.replay_id || "unknown"}${event.supersedes ? `, supersedes ${event.supersedes}` : ""}`) : "",
    policy,
  ];
}

function action(...children) {
  return createElement("p", { class: "action" }, ...children);
}

function meta(text) {
  return createElement("p", { class: "reason" }, text);
}

function kind(label) {
  return createElement("span", { class: `kind ${label.toLowerCase()}` }, label);
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
