// What every view shares: the stream of what is happening, the strip that says how it goes, and small ways to build HTML.

const listeners = { whole: [], tick: [], outcome: [] };
const strip = document.querySelector(".strip");
const status = document.getElementById("status");

/** Calls `heard` with the data of each event: whole (on each connection), tick (each second), outcome (of a try). */
export function listen(event, heard) {
  listeners[event].push(heard);
}

/** Opens the stream; to be called once all listeners are there. The browser reconnects by itself. */
export function connect() {
  const stream = new EventSource("/api/live");
  for (const event of Object.keys(listeners)) {
    stream.addEventListener(event, (message) => {
      const data = JSON.parse(message.data);
      if (event !== "outcome") tellStatus(data);
      for (const heard of listeners[event]) heard(data);
    });
  }
  stream.addEventListener("error", () => {
    tell("bad", "the console does not answer: is it still running? Trying again…");
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, 3000); // it was refused: the session has ended, or too many pages are open
    fetch("/api/deployments").then((answer) => {
      if (answer.status === 401) location.assign("/login");
    }, () => {});
  });
  addEventListener("pagehide", () => stream.close());
}

function tellStatus(data) {
  if (data.trouble) tell("bad", data.trouble);
  else if (data.workers === null) tell("", "looking…");
  else if (!data.workers) tell("bad", "no worker is running: applications wait");
  else if (unfollowed(data, "champion")) tell("bad", unfollowed(data, "champion").text);
  else tell("good", data.workers === 1 ? "1 worker is running" : `${data.workers} workers are running`);
}

/** What was deployed into a slot and workers have not switched to; undefined if they have. */
export function unfollowed(data, slot) {
  return data.unswitched.find((entry) => entry.slot === slot);
}

function tell(mood, text) {
  if (status.textContent !== text) status.textContent = text; // said once, not every second
  strip.classList.toggle("good", mood === "good");
  strip.classList.toggle("bad", mood === "bad");
}

/** An element with attributes and children; text stays text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Asks for JSON; what is refused is an Error with the reason. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the console does not answer: is it still running?");
  }
  if (answer.status === 401) location.assign("/login");
  const body = await answer.json().catch(() => ({ error: `the console answered ${answer.status}` }));
  if (!answer.ok) throw new Error(body.error);
  return body;
}

const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** A number for people; what is not known is a dash. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return value >= 0.05 && value < 10 ? fine.format(value) : plain.format(value);
}

/** Seconds for people. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${plain.format(seconds * 1000)} ms`;
  return seconds < 120 ? `${fine.format(seconds)} s` : `${plain.format(seconds / 60)} min`;
}

/** A share for people. */
export function share(part, whole) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  return `${percent > 0 && percent < 0.1 ? "<0.1" : percent.toFixed(1)} %`;
}

/** A moment as an element, in UTC. */
export function moment(text) {
  return make("time", { datetime: text }, `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`);
}

/** A bundle with the head of its digest. */
export function bundleName(bundle) {
  return bundle ? `${bundle.name}:${bundle.version}@${bundle.digest.slice(0, 12)}` : "nothing";
}
