// Shared by all views: the event stream, the status strip, the page's contract, and helpers for HTML and numbers.

import { forgetTries } from "./try-ids.js";

const listeners = { state: [], tick: [], result: [] };
const strip = document.querySelector(".strip");
const status = document.getElementById("status");

document.querySelector(".logout")?.addEventListener("submit", forgetTries);
// Disabled in the page: a click before the script runs would be lost, and a search would send the id in a URL.
for (const button of document.querySelectorAll("button[data-needs-script]")) button.disabled = false;

/** Calls `handler` with the data of each event: state (on each connection), tick (every second), result (of a try). */
export function listen(event, handler) {
  listeners[event].push(handler);
}

/** Whether the topics of the group can be read. */
export function isReadable({ workers, errors }) {
  return workers !== null && !errors.group;
}

/** Calls `handler` each time that the topics can be read again, or for the first time since the page was loaded. */
export function onRecovery(handler) {
  let wasUnreadable = false;
  const check = (data) => {
    if (wasUnreadable && isReadable(data)) handler();
    wasUnreadable = !isReadable(data);
  };
  listen("state", check);
  listen("tick", check);
}

/** Opens the stream; call it after all listeners are registered. The browser reconnects by itself. */
export function connect() {
  const stream = new EventSource("/api/live");
  for (const event of Object.keys(listeners)) {
    stream.addEventListener(event, (message) => {
      const data = JSON.parse(message.data);
      if (event !== "result") {
        showStatus(data);
        showUnread(data);
        showContract(data.deployed);
      }
      for (const handler of listeners[event]) handler(data);
    });
  }
  stream.addEventListener("error", () => {
    setStatus("bad", "the console does not answer: is it still running? Retrying…");
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 3000); // rejected: the session has expired, or too many pages are open
    fetch("/api/deployments").then((response) => {
      if (response.status === 401) location.assign("/login");
    }, () => {});
  });
  addEventListener("pagehide", () => stream.close());
}

function showStatus(data) {
  if (data.error) setStatus("bad", data.error);
  else if (data.workers === null) setStatus("", "loading…");
  else if (!data.workers) setStatus("bad", "no worker is running: applications are waiting");
  else if (findUnswitched(data, "champion")) setStatus("bad", findUnswitched(data, "champion").text);
  else setStatus("good", data.workers === 1 ? "1 worker is running" : `${data.workers} workers are running`);
}

/** Says on a view that what it shows was not read yet, or is what was last read; the status strip says why. */
function showUnread(data) {
  const note = document.getElementById("unread");
  if (!note) return;
  const { part, unread } = note.dataset;
  const isRead = part === "reviews" ? data.reviews !== null : data.workers !== null;
  if (isRead) note.dataset.wasRead = "true";
  note.hidden = isRead && !data.errors.group && !data.errors[part];
  const text = `Waiting for Kafka: ${note.dataset.wasRead ? "this may be out of date" : unread}. The line at the top says more.`;
  if (note.textContent !== text) note.textContent = text;
}

/** Names the champion on a page about its contract, or says that another contract is deployed now. */
function showContract(deployed) {
  const replaced = document.getElementById("replaced");
  if (!replaced || !deployed) return;
  const isReplaced = deployed.sha256 !== document.getElementById("contract").dataset.sha256;
  const text = deployed.bundle ? `of the champion ${deployed.bundle}` : "of the default bundle: nothing is deployed yet";
  if (!isReplaced) document.getElementById("contract-of").textContent = text;
  if (isReplaced && replaced.dataset.by !== deployed.sha256) {
    replaced.dataset.by = deployed.sha256; // only on change, so that screen readers do not repeat it
    const link = createElement("a", { href: "" }, "Reload the page");
    replaced.replaceChildren(`Another contract is deployed now: ${deployed.contract}. `, link, " to see it.");
  }
  replaced.hidden = !isReplaced;
}

/** The deployment to a slot that workers have not switched to; undefined if they have. */
export function findUnswitched(data, slot) {
  return data.unswitched.find((entry) => entry.slot === slot);
}

function setStatus(state, text) {
  if (status.textContent !== text) status.textContent = text; // only on change, so that screen readers do not repeat it
  strip.classList.toggle("good", state === "good");
  strip.classList.toggle("bad", state === "bad");
}

/** An element with attributes and children; text stays text. */
export function createElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Requests JSON; a failure is an Error with the reason. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the console does not answer: is it still running?");
  }
  if (response.status === 401) location.assign("/login");
  const body = await response.json().catch(() => ({ error: `the console answered ${response.status}` }));
  if (!response.ok) throw new Error(body.error);
  return body;
}

const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** Formats a number; an unknown one is a dash. */
export function formatNumber(value) {
  if (value === null || value === undefined) return "–";
  return value >= 0.05 && value < 10 ? fine.format(value) : plain.format(value);
}

/** Formats seconds. */
export function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${plain.format(seconds * 1000)} ms`;
  return seconds < 120 ? `${fine.format(seconds)} s` : `${plain.format(seconds / 60)} min`;
}

/** Formats a share in per cent. */
export function formatShare(part, whole) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  return `${percent > 0 && percent < 0.1 ? "<0.1" : percent.toFixed(1)} %`;
}

/** A time element, in UTC. */
export function formatTime(text) {
  return createElement("time", { datetime: text }, `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`);
}

/** A time element from milliseconds since 1970, in UTC; null is a time that is not known. */
export function formatMilliseconds(ms) {
  return ms === null ? createElement("span", {}, "time unknown") : formatTime(new Date(ms).toISOString());
}

/** A bundle with its shortened digest. */
export function bundleName(bundle) {
  return bundle ? `${bundle.name}:${bundle.version}@${bundle.digest.slice(0, 12)}` : "none";
}

const policies = new Map(); // full bundle name → promise of its thresholds

/** The thresholds of a bundle, `name:version@digest`, requested once; null if the request failed, until the next call. */
export function readPolicy(bundle) {
  if (!policies.has(bundle)) {
    const [name, version, digest] = bundle.split(/[:@]/);
    policies.set(bundle, request(`/api/policy?${new URLSearchParams({ name, version, digest })}`).catch(() => {
      policies.delete(bundle);
      return null;
    }));
  }
  return policies.get(bundle);
}
