// One bundle: its review, which runs on request.

import { connect, createElement, request } from "./live.js";

const byId = (id) => document.getElementById(id);

byId("review")?.addEventListener("click", review);
connect();

async function review() {
  const button = byId("review");
  button.disabled = true;
  byId("news").textContent = "reviewing…";
  byId("fault").hidden = true;
  try {
    const { findings, engine, engine_fault: why } = await request(`/api/bundles/review?${new URLSearchParams({ bundle: button.dataset.bundle })}`);
    byId("findings").replaceChildren(...findings.map(item));
    byId("news").textContent = `${count(findings, "error")}, ${count(findings, "warning")}, ${count(findings, "note")}${describeEngine(engine, why)}`;
  } catch (error) {
    byId("news").textContent = "";
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
  button.disabled = false;
}

function count(findings, severity) {
  const number = findings.filter((finding) => finding.severity === severity).length;
  return number === 1 ? `1 ${severity}` : `${number} ${severity}s`;
}

function describeEngine(engine, why) {
  if (engine === null) return "; the bundle cannot be opened";
  return `; engine on this machine: ${engine}${why ? ` (${why})` : ""}`;
}

function item({ severity, where, what, fix }) {
  return createElement(
    "li", {},
    createElement("p", {}, createElement("b", { class: `severity ${severity}` }, severity), " ", createElement("code", {}, where)),
    createElement("p", {}, what),
    createElement("p", { class: "note" }, `→ ${fix}`),
  );
}
