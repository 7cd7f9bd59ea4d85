// The challenger, and how it would have decided the newest applications.

import { bundleName, connect, createElement, findUnswitched, formatNumber, formatShare, formatTime, listen, onRecovery, request } from "./live.js";

const LABELS = ["APPROVED", "MAYBE", "DECLINED"];
const byId = (id) => document.getElementById(id);
let shown = null; // the number of deployments that is shown

byId("refresh").addEventListener("click", compare);
listen("state", update);
listen("tick", update);
onRecovery(() => {
  if (!byId("comparison").hidden && !byId("fault").hidden) compare();
});
connect();

async function update(data) {
  const entry = data.workers === null ? undefined : findUnswitched(data, "challenger");
  byId("unswitched").hidden = !entry;
  byId("unswitched").textContent = entry ? [entry.text, ...entry.reasons].join(": ") : "";
  if (data.workers === null || shown === data.deployments) return;
  shown = data.deployments;
  try {
    const { champion, challenger } = await request("/api/challenger");
    byId("fault").hidden = true;
    byId("empty").hidden = challenger !== null;
    byId("slots").hidden = byId("comparison").hidden = challenger === null;
    if (challenger === null) return;
    byId("challenger").replaceChildren(linkTo(bundleName(challenger.bundle), `${challenger.bundle.name}:${challenger.bundle.version}@${challenger.bundle.digest}`));
    byId("since").replaceChildren(formatTime(challenger.at), `, by ${challenger.actor}: “${challenger.reason}”`);
    byId("champion").replaceChildren(linkTo(champion.replace(/@(.{12}).*/, "@$1"), champion));
    await compare();
  } catch (error) {
    shown = null; // retried in a second
    showFault(error);
  }
}

function linkTo(text, reference) {
  return createElement("a", { href: `/bundles/show?${new URLSearchParams({ bundle: reference })}` }, text);
}

async function compare() {
  byId("refresh").disabled = true;
  byId("news").textContent = "comparing…";
  try {
    showComparison(await request("/api/challenger/comparison"));
    byId("fault").hidden = true;
  } catch (error) {
    byId("news").textContent = "";
    showFault(error);
  }
  byId("refresh").disabled = false;
}

function showComparison({ rows, compared, flipped, flips, pd_shift: shift, skipped, skipped_first: first, at }) {
  const time = new Date(1000 * at).toISOString();
  byId("news").replaceChildren("as of ", formatTime(time));
  byId("share").textContent = compared ? `${formatShare(flipped, compared)} of decisions differ` : "No applications to compare yet";
  const undecided = rows > compared ? `; ${formatNumber(rows - compared)} of ${formatNumber(rows)} are invalid for one of the bundles, or its model cannot score them` : "";
  byId("counts").textContent = compared ? `${formatNumber(flipped)} of ${formatNumber(compared)} applications${undecided}.` : "";
  byId("matrix").hidden = !compared;
  byId("labels").replaceChildren(createElement("tr", {}, createElement("td"), ...LABELS.map((label) => createElement("th", { scope: "col", class: `kind number ${label.toLowerCase()}` }, label))));
  byId("flips").replaceChildren(...LABELS.map((old) => createElement(
    "tr", {}, createElement("th", { scope: "row", class: `kind ${old.toLowerCase()}` }, old),
    ...LABELS.map((label) => createElement("td", { class: `number ${label === old ? "same" : flips[old][label] ? "flipped" : ""}` }, formatNumber(flips[old][label]))),
  )));
  const points = (value) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(2)}`;
  byId("shift").textContent = compared ? `Probability of default, challenger minus champion, in percentage points: mean ${points(shift.mean)}, mean absolute ${(100 * shift.mean_distance).toFixed(2)}, largest ${(100 * shift.max_distance).toFixed(2)}.` : "";
  byId("skipped").hidden = !skipped;
  byId("skipped").textContent = `${formatNumber(skipped)} unreadable record batches were skipped, for example ${first.join("; ")}`;
}

function showFault(error) {
  byId("fault").hidden = false;
  byId("fault").textContent = error.message;
}
