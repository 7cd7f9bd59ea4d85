// The overview: current figures, the last five minutes, and the champion.

import { bundleName, connect, createElement, findUnswitched, formatNumber, formatSeconds, formatShare, formatTime, listen, request } from "./live.js";

const KINDS = ["APPROVED", "MAYBE", "DECLINED", "REJECTED"];
const SMOOTHED_S = 5;
const WIDTH = 300;
const HEIGHT = 56;

let series = [];
let pointsMax = WIDTH;
let deployments = null;

const byId = (id) => document.getElementById(id);
const rows = new Map();
for (const kind of KINDS) {
  const bar = createElement("span", { class: "bar" });
  const [number, part] = [createElement("td"), createElement("td")];
  const name = createElement("th", { scope: "row", class: `kind ${kind.toLowerCase()}` }, kind);
  const cell = createElement("td", { class: `bar-cell ${kind.toLowerCase()}` }, bar);
  byId("kinds").append(createElement("tr", {}, name, cell, number, part));
  rows.set(kind, { bar, number, part });
}

listen("state", (state) => {
  series = state.series;
  pointsMax = state.points_max;
  draw();
  showChampion(state);
});
listen("tick", (tick) => {
  series.push(tick.point);
  while (series.length > pointsMax) series.shift();
  draw();
  showChampion(tick);
});
connect();

function draw() {
  const last = series.slice(-SMOOTHED_S);
  const now = series.at(-1);
  if (!now) return;
  byId("rate").textContent = formatNumber(now.decided === null ? null : mean(last, "decided"));
  byId("arriving").textContent = formatNumber(now.arriving);
  byId("waiting").textContent = formatNumber(now.waiting);
  byId("p50").textContent = formatSeconds(now.p50);
  byId("p99").textContent = formatSeconds(now.p99);
  chart("spark-rate", formatNumber, [smoothed("decided")]);
  chart("spark-waiting", formatNumber, [series.map((point) => point.waiting)]);
  chart("spark-latency", formatSeconds, [series.map((point) => point.p50), series.map((point) => point.p99)]);
  drawKinds();
}

/** Transactions commit in bursts, so each point is the mean of the last few seconds. */
function smoothed(name) {
  return series.map((_, at) => {
    const near = series.slice(Math.max(0, at - SMOOTHED_S + 1), at + 1);
    return near.at(-1)[name] === null ? null : mean(near, name);
  });
}

function mean(points, name) {
  return points.reduce((sum, point) => sum + (point[name] ?? 0), 0) / points.length;
}

/** Draws lines from the right edge, one point per second, on one scale from 0 to the peak; unknown values are gaps. */
function chart(id, format, lines) {
  const svg = byId(id);
  const known = lines.flat().filter((value) => value !== null);
  const top = Math.max(...known, 1e-9);
  byId(`${id}-peak`).textContent = format(known.length ? top : null);
  const x = (at, length) => WIDTH - (length - 1 - at) * (WIDTH / (pointsMax - 1));
  const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 4);
  const drawn = [vector("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 })];
  lines.forEach((values, number) => {
    let path = "";
    let area = "";
    let began = null;
    values.forEach((value, at) => {
      if (value === null) {
        if (began !== null) area += `V${HEIGHT}H${began}Z`;
        began = null;
        return;
      }
      const to = `${x(at, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
      path += `${began === null ? "M" : "L"}${to}`;
      area += `${began === null ? "M" : "L"}${to}`;
      began ??= x(at, values.length).toFixed(1);
    });
    if (began !== null) area += `V${HEIGHT}H${began}Z`;
    if (number === 0) drawn.push(vector("path", { class: "area", d: area }));
    drawn.push(vector("path", { class: number ? "second" : "first", d: path }));
  });
  svg.replaceChildren(...drawn);
}

function vector(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function drawKinds() {
  const sums = KINDS.map((kind) => series.reduce((sum, point) => sum + point.kinds[kind], 0));
  const all = sums.reduce((sum, value) => sum + value, 0);
  KINDS.forEach((kind, at) => {
    const { bar, number, part } = rows.get(kind);
    bar.style.width = all ? `${(100 * sums[at]) / all}%` : "0";
    number.textContent = formatNumber(sums[at]);
    part.textContent = formatShare(sums[at], all);
  });
  const corrections = series.reduce((sum, point) => sum + point.corrections, 0);
  byId("corrections").hidden = !corrections;
  byId("corrections").textContent = `plus ${formatNumber(corrections)} corrections by a replay`;
}

function showChampion(data) {
  byId("skipped").hidden = !data.skipped;
  byId("skipped").textContent = `${formatNumber(data.skipped)} malformed records were skipped; the console's log names the first ones`;
  const bundles = data.deciding.map((name) => {
    const [bundle, digest] = name.split("@");
    return `${bundle}@${digest.slice(0, 12)}`;
  });
  byId("deciding").textContent = bundles.join(" and ") || "no decisions yet";
  const entry = findUnswitched(data, "champion");
  byId("unswitched").hidden = !entry;
  byId("unswitched").textContent = entry ? [entry.text, ...entry.reasons].join(": ") : "";
  byId("workers").textContent = data.workers === null ? "–" : formatNumber(data.workers);
  if (data.workers !== null && deployments !== data.deployments) {
    deployments = data.deployments;
    showSince();
  }
}

async function showSince() {
  let history;
  try {
    history = await request("/api/deployments");
  } catch {
    deployments = null; // the status strip says why; retried in a second
    return;
  }
  const last = history.find((line) => line.slot === "champion");
  const since = byId("since");
  if (!last) {
    since.textContent = "no deployments yet: this bundle is shipped with the workers";
    return;
  }
  since.replaceChildren(formatTime(last.at), `, ${last.action === "rollback" ? "rolled back to" : "deployed"} ${bundleName(last.bundle)} by ${last.actor}: “${last.reason}”`);
}
