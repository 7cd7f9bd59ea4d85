// The form in which a reviewer approves or declines a MAYBE decision, and the button that shows an application's values.

import { createElement, request } from "./live.js";

let forms = 0;

/**
 * A form for a review.
 * `target` has application_id, decision_id, reasons (codes with sentences) and supersedes (a review's id or null);
 * `done` is called with the console's answer once the review was recorded: its `label`, and `pending` if it does not count yet.
 */
export function reviewForm(target, done) {
  const id = `review-${++forms}`;
  const radio = (label, text) => createElement(
    "label", { class: "choice" },
    createElement("input", { type: "radio", name: `${id}-label`, value: label, required: "" }), text,
  );
  const reason = createElement("input", { id: `${id}-reason`, list: `${id}-reasons`, required: "", maxlength: "200", autocomplete: "off", "aria-describedby": `${id}-help` });
  const reasons = createElement("datalist", { id: `${id}-reasons` }, ...target.reasons.map(({ code, text }) => createElement("option", { value: code }, text ?? code)));
  const comment = createElement("input", { id: `${id}-comment`, maxlength: "1000", autocomplete: "off" });
  const submit = createElement("button", { type: "submit" }, "Submit review");
  const fault = createElement("p", { class: "fault", role: "alert", hidden: "" });
  const form = createElement(
    "form", { class: "review-form" },
    createElement("fieldset", { class: "choices" }, createElement("legend", {}, "Decision"), radio("APPROVED", "Approve"), radio("DECLINED", "Decline")),
    createElement("div", { class: "field" }, createElement("label", { for: reason.id }, "Reason"), reason, reasons, createElement("p", { class: "help", id: `${id}-help` }, "A code of the bundle's reasons, or a short text.")),
    createElement("div", { class: "field" }, createElement("label", { for: comment.id }, "Comment (optional)"), comment),
    submit, fault,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    fault.hidden = true;
    const label = new FormData(form).get(`${id}-label`);
    const review = {
      application_id: target.application_id, decision_id: target.decision_id, supersedes: target.supersedes,
      label, reason: reason.value.trim(), comment: comment.value.trim(),
    };
    try {
      done(await request("/api/reviews", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(review) }));
    } catch (error) {
      fault.hidden = false;
      fault.textContent = error.message;
    }
    submit.disabled = false;
  });
  return form;
}

/** A button that fetches the values of an application's record on request, and drops them when they are hidden. */
export function valuesButton({ partition, offset }, name) {
  const panel = createElement("div", { class: "value-panel", hidden: "" });
  const button = createElement("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Show values", createElement("span", { class: "visually-hidden" }, ` of ${name}`));
  button.addEventListener("click", async () => {
    if (!panel.hidden) {
      panel.hidden = true;
      panel.replaceChildren();
    } else {
      button.disabled = true;
      try {
        const { value, cut } = await request(`/api/applications/${partition}/${offset}/value`, { method: "POST" });
        panel.replaceChildren(createElement("pre", { tabindex: "0", "aria-label": "Values" }, indent(value), cut ? "\n… (cut)" : ""));
      } catch (error) {
        panel.replaceChildren(createElement("p", { class: "fault", role: "alert" }, error.message));
      }
      panel.hidden = false;
      button.disabled = false;
      button.focus();
    }
    button.firstChild.textContent = panel.hidden ? "Show values" : "Hide values";
    button.setAttribute("aria-expanded", String(!panel.hidden));
  });
  return [button, panel];
}

/** Reasons with their sentences. */
export function reasonList(reasons) {
  if (!reasons.length) return createElement("p", { class: "meta" }, "no reasons: the bundle has no catalogue");
  return createElement("ul", { class: "reasons" }, ...reasons.map(({ code, text }) => createElement("li", {}, createElement("code", {}, code), text ? ` ${text}` : "")));
}

/** What a decision waits for that was reviewed, but needs another reviewer who agrees. */
export function describeWaiting(pending, reviewer) {
  const names = pending.map((name) => (name === reviewer ? "you" : name)).join(" and ");
  if (pending.length > 1) return `waiting for a third reviewer: ${names} disagree`;
  return `waiting for a second reviewer: reviewed by ${names}`;
}

/** A probability of default in per cent. */
export function formatProbability(probability) {
  return `PD ${(100 * probability).toFixed(1)} %`;
}

function indent(value) {
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value || "(empty)";
  }
}
