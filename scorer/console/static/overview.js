// The overview: current figures, the last five minutes, the newest probabilities, and the champion.

import { makeChart } from "./charts.js";
import { drawHistogram } from "./histogram.js";
import { bundleName, connect, createElement, findUnswitched, formatNumber, formatSeconds, formatShare, formatTime, isReadable, listen, readPolicy, request } from "./live.js";

const KINDS = ["APPROVED", "MAYBE", "DECLINED", "REJECTED"];
const SMOOTHED_S = 5;

let series = [];
let pointsMax = 300;
let deployments = null; // the number of deployments that is shown
let marks = []; // the deployments, with their time in seconds
let policy = { of: null, thresholds: null }; // of the bundle that decides

const byId = (id) => document.getElementById(id);
const charts = [
  makeChart(byId("chart-rate"), { lines: [(_, index) => smoothed(index)], format: formatNumber, describe: (_, index) => `${formatNumber(smoothed(index))} per second` }),
  makeChart(byId("chart-waiting"), { lines: ["waiting"], format: formatNumber, describe: ({ waiting }) => `${formatNumber(waiting)} waiting` }),
  makeChart(byId("chart-latency"), { lines: ["p50", "p99"], format: formatSeconds, describe: ({ p50, p99 }) => `p50 ${formatSeconds(p50)}, p99 ${formatSeconds(p99)}` }),
];
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
  update(state);
});
listen("tick", (tick) => {
  series.push(tick.point);
  while (series.length > pointsMax) series.shift();
  update(tick);
});
connect();

function update(data) {
  draw();
  showChampion(data);
  showProbabilities(data);
}

function draw() {
  const now = series.at(-1);
  if (!now) return;
  byId("rate").textContent = formatNumber(smoothed(series.length - 1));
  byId("arriving").textContent = formatNumber(now.arriving);
  byId("waiting").textContent = formatNumber(now.waiting);
  byId("waiting-unit").textContent = now.waiting === 1 ? "application" : "applications";
  byId("p50").textContent = formatSeconds(now.p50);
  byId("p99").textContent = formatSeconds(now.p99);
  for (const chart of charts) chart.draw(series, pointsMax, marks);
  drawKinds();
  showMarks(now.at);
}

/** Transactions commit in bursts, so each point is the mean of the last few seconds. */
function smoothed(index) {
  const near = series.slice(Math.max(0, index - SMOOTHED_S + 1), index + 1);
  if (near.at(-1).decided === null) return null;
  return near.reduce((sum, point) => sum + (point.decided ?? 0), 0) / near.length;
}

function drawKinds() {
  const isKnown = series.some((point) => point.decided !== null);
  const sums = KINDS.map((kind) => series.reduce((sum, point) => sum + point.kinds[kind], 0));
  const all = sums.reduce((sum, value) => sum + value, 0);
  KINDS.forEach((kind, index) => {
    const { bar, number, part } = rows.get(kind);
    bar.style.width = all ? `${(100 * sums[index]) / all}%` : "0";
    number.textContent = formatNumber(isKnown || all ? sums[index] : null);
    part.textContent = formatShare(sums[index], all);
  });
  const corrections = series.reduce((sum, point) => sum + point.corrections, 0);
  byId("corrections").hidden = !corrections;
  byId("corrections").textContent = corrections === 1 ? "plus 1 correction by a replay" : `plus ${formatNumber(corrections)} corrections by a replay`;
}

/** Names the deployments that the charts mark. */
function showMarks(now) {
  const shown = marks.filter(({ at }) => at <= now && at > now - pointsMax);
  const text = shown.map(({ at, text: what }) => `${new Date(1000 * at).toISOString().slice(11, 19)} UTC ${what}`).join("; ");
  byId("marks").textContent = `Dashed lines are deployments: ${text || "none in the last five minutes"}.`;
}

function showChampion(data) {
  byId("skipped").hidden = !data.skipped;
  byId("skipped").textContent = `${data.skipped === 1 ? "1 malformed record was" : `${formatNumber(data.skipped)} malformed records were`} skipped; the console's log names the first ones`;
  const bundles = data.deciding.map((name) => {
    const [bundle, digest] = name.split("@");
    return `${bundle}@${digest.slice(0, 12)}`;
  });
  byId("deciding").textContent = bundles.join(" and ") || (data.workers === null ? "–" : "no decisions yet");
  const entry = findUnswitched(data, "champion");
  byId("unswitched").hidden = !entry;
  byId("unswitched").textContent = entry ? [entry.text, ...entry.reasons].join(": ") : "";
  byId("workers").textContent = isReadable(data) ? formatNumber(data.workers) : "–";
  if (data.workers !== null && deployments !== data.deployments) {
    deployments = data.deployments;
    showHistory();
  }
}

async function showHistory() {
  let history;
  try {
    history = await request("/api/deployments");
  } catch {
    deployments = null; // the status strip says why; retried in a second
    return;
  }
  marks = history.filter((line) => !line.fault).map((line) => ({ at: Date.parse(line.at) / 1000, text: describeEvent(line) }));
  const last = history.find((line) => line.slot === "champion");
  const since = byId("since");
  if (last) since.replaceChildren(formatTime(last.at), `, ${last.action === "rollback" ? "rolled back to" : "deployed"} ${bundleName(last.bundle)} by ${last.actor}: “${last.reason}”`);
  else since.textContent = "no deployments yet: this bundle is shipped with the workers";
  const challenger = history.find((line) => line.slot === "challenger");
  if (challenger?.bundle) byId("challenger").replaceChildren(createElement("a", { href: "/challenger" }, bundleName(challenger.bundle)), ", since ", formatTime(challenger.at));
  else byId("challenger").textContent = "none";
}

function describeEvent({ action, slot, bundle, previous }) {
  const name = bundle ? `${bundle.name}:${bundle.version}` : previous ? `${previous.name}:${previous.version}` : "";
  const verb = { deploy: "deployed", rollback: "rolled back to", retire: "retired" }[action];
  return `${verb} ${name}${slot === "challenger" ? " (challenger)" : ""}`;
}

/** Draws the newest probabilities, with the thresholds of the bundle that decides. */
function showProbabilities({ probabilities, deciding, workers }) {
  const [current] = deciding;
  if (policy.of !== (current ?? null)) {
    policy = { of: current ?? null, thresholds: null };
    if (current) {
      readPolicy(current).then((thresholds) => {
        if (policy.of === current) policy = { of: thresholds && current, thresholds }; // after a failure, again
      });
    }
  }
  drawHistogram(probabilities, policy.thresholds, workers !== null);
}
