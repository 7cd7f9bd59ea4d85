// The bundles of the store, the newest first, and how two of them differ.

import { connect, createElement, onRecovery, request } from "./live.js";

const byId = (id) => document.getElementById(id);
let shown = 0;
let loading = 0; // only the result of the last load is shown
let knowsChampion = false; // it is in the deployment history

byId("refresh").addEventListener("click", () => load(0));
byId("more").addEventListener("click", () => load(shown));
byId("compare").addEventListener("submit", compare);
byId("compare").addEventListener("change", () => {
  byId("compare-button").disabled = !(chosen("before") && chosen("after"));
});
onRecovery(() => {
  if (!knowsChampion) load(0);
});
connect();
load(0);

function chosen(name) {
  return new FormData(byId("compare")).get(name);
}

async function load(first) {
  const number = ++loading;
  byId("news").textContent = "loading…";
  byId("fault").hidden = true;
  try {
    const list = await request(`/api/bundles?first=${first}`);
    if (number !== loading) return;
    knowsChampion = list.champion !== null || list.default !== null;
    const rows = list.bundles.map((bundle) => row(bundle, list));
    if (first) byId("bundles").append(...rows);
    else byId("bundles").replaceChildren(...rows);
    shown = first + rows.length;
    byId("more").hidden = shown >= list.total;
    byId("news").textContent = shown < list.total ? `${shown} of ${list.total}` : list.total === 1 ? "1 bundle" : `${list.total} bundles`;
    byId("compare-button").disabled = !(chosen("before") && chosen("after"));
  } catch (error) {
    if (number !== loading) return;
    byId("news").textContent = "";
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
}

function row(bundle, list) {
  const { reference } = bundle;
  if (bundle.fault) {
    return createElement("tr", {}, createElement("th", { scope: "row" }, reference), createElement("td", { colspan: "6", class: "damaged" }, bundle.fault));
  }
  const link = createElement("a", { href: `/bundles/show?${new URLSearchParams({ bundle: `${reference}@${bundle.digest}` })}` }, reference);
  const name = createElement("th", { scope: "row" }, link, " ", createElement("code", { title: bundle.digest }, bundle.digest.slice(0, 12)), createElement("span", { class: "tags" }, ...badges(bundle, list)));
  return createElement(
    "tr", {}, name,
    cell("created", createElement("time", { datetime: bundle.created, title: bundle.created }, bundle.created.slice(0, 10))),
    cell("AUC", bundle.auc === null ? "–" : bundle.auc.toFixed(4), "number"),
    cell("thresholds", describePolicy(bundle)),
    cell("runner", bundle.runner),
    cell("contract", bundle.contract),
    cell("compare", createElement("span", { class: "pair" }, radio("before", "A", reference), radio("after", "B", reference))),
  );
}

function cell(label, content, kind = null) {
  return createElement("td", { "data-label": label, class: kind }, createElement("span", {}, content));
}

function lines(texts) {
  return createElement("span", {}, ...texts.flatMap((text, index) => (index ? [createElement("br"), text] : [text])));
}

function badges({ digest, reference, shipped, tags }, { champion, challenger, default: initial }) {
  const names = [];
  if (digest === champion || reference === initial) names.push("champion");
  if (digest === challenger) names.push("challenger");
  const roles = names.map((name) => createElement("span", { class: "tag role" }, name));
  const others = [...tags, ...(shipped ? ["shipped"] : [])];
  return [...roles, ...others.map((name) => createElement("span", { class: "tag" }, name))];
}

function describePolicy({ maybe_above: maybe, declined_above: declined, has_conditions: hasConditions }) {
  const percent = (share) => `${Number((100 * share).toFixed(2))} %`;
  return `MAYBE above ${percent(maybe)}, DECLINED above ${percent(declined)}${hasConditions ? ", and rules or segments" : ""}`;
}

function radio(name, text, reference) {
  return createElement(
    "label", { class: "choice" },
    createElement("input", { type: "radio", name, value: reference }), text,
    createElement("span", { class: "visually-hidden" }, `: ${reference}`),
  );
}

async function compare(event) {
  event.preventDefault();
  byId("fault").hidden = true;
  try {
    const query = new URLSearchParams({ before: chosen("before"), after: chosen("after") });
    const { before, after, facts, changes } = await request(`/api/bundles/diff?${query}`);
    byId("diff").hidden = false;
    byId("diff-note").textContent = `A: ${before}; B: ${after}. ${changes.length ? "" : "The manifests are identical, and so are the bundles."}`;
    byId("facts").replaceChildren(...facts.map((fact) => createElement(
      "tr", fact.differs ? { class: "differs" } : {},
      createElement("th", { scope: "row" }, fact.name, fact.differs ? createElement("span", { class: "tag" }, "differs") : ""),
      cell("A", lines(fact.before)), cell("B", lines(fact.after)),
    )));
    byId("entries").hidden = !changes.length;
    byId("entries").open = false;
    byId("entries-title").textContent = changes.length === 1 ? "1 entry of the manifests differs" : `${changes.length} entries of the manifests differ`;
    byId("changes").replaceChildren(...changes.map((change) => createElement(
      "tr", {}, createElement("th", { scope: "row" }, change.where),
      cell("A", change.before ?? "–"), cell("B", change.after ?? "–"),
    )));
    byId("diff").focus();
  } catch (error) {
    byId("diff").hidden = true;
    byId("fault").hidden = false;
    byId("fault").textContent = error.message;
  }
}
