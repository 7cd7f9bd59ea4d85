// The histogram of the newest decisions' probabilities of default, with the thresholds of the policy.

import { vector } from "./charts.js";
import { createElement, formatNumber } from "./live.js";

const WIDTH = 400;
const HEIGHT = 120;
const byId = (id) => document.getElementById(id);

/**
 * Draws the counts per interval from 0 to 1. `policy` is what `readPolicy` returns, or null while it is unknown;
 * `isConnected` is false as long as nothing could be read.
 */
export function drawHistogram(counts, policy, isConnected) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const top = Math.max(...counts, 1);
  const width = WIDTH / counts.length;
  byId("probabilities-count").textContent = total ? `of the newest ${total === 1 ? "decision" : `${formatNumber(total)} decisions`}` : isConnected ? "no decisions yet" : "–";
  byId("histogram").replaceChildren(
    vector("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    ...counts.map((count, index) => {
      const height = count ? Math.max(1.5, (count / top) * (HEIGHT - 6)) : 0;
      return vector("rect", { class: labelOf((index + 0.5) / counts.length, policy), x: index * width + 1, width: width - 2, y: HEIGHT - height, height });
    }),
  );
  byId("thresholds").replaceChildren(...ticks(policy));
  byId("thresholds-note").textContent = describe(policy);
  byId("probabilities").replaceChildren(...counts.map((count, index) => createElement(
    "tr", {},
    createElement("td", {}, `${(100 * index) / counts.length} to ${(100 * (index + 1)) / counts.length} %`),
    createElement("td", { class: "number" }, formatNumber(count)),
  )));
}

/** Marks at the thresholds of a scale from 0 to 1. */
export function ticks(policy) {
  if (!policy || policy.maybe_above === null) return [];
  return [["maybe", policy.maybe_above], ["declined", policy.declined_above]].map(([kind, share]) => {
    const tick = createElement("span", { class: `tick ${kind}` });
    tick.style.left = `${100 * share}%`;
    return tick;
  });
}

/** The thresholds in words. */
export function describe(policy) {
  if (!policy) return "thresholds unknown";
  if (policy.maybe_above === null) return `thresholds unknown: ${policy.fault}`;
  const percent = (share) => `${Number((100 * share).toFixed(2))} %`;
  return `MAYBE above ${percent(policy.maybe_above)}, DECLINED above ${percent(policy.declined_above)}${policy.has_conditions ? "; rules or segments decide as well" : ""}`;
}

function labelOf(share, policy) {
  if (!policy || policy.maybe_above === null) return "unknown";
  if (share > policy.declined_above) return "declined";
  return share > policy.maybe_above ? "maybe" : "approved";
}
