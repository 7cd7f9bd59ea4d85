// Charts of the last minutes: one point per second, from the right edge, with a cursor for the mouse and the keyboard.

const WIDTH = 300;
const HEIGHT = 56;
const PAGE_S = 10;

/** An SVG element. */
export function vector(name, attributes, text = null) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

/**
 * A chart in an element of the page: a slider whose value is the second that is read out.
 * `lines` are the names of the points' values; `describe` says in words what a point has.
 */
export function makeChart(element, { lines, format, describe }) {
  const svg = element.querySelector("svg");
  const readout = element.querySelector(".readout");
  const state = { series: [], pointsMax: WIDTH, marks: [], ago: null, last: undefined };

  function render() {
    const { series, pointsMax, marks } = state;
    const values = lines.map((line) => series.map(typeof line === "function" ? line : (point) => point[line]));
    const known = values.flat().filter((value) => value !== null);
    const top = Math.max(...known, 1e-9);
    element.querySelector(".high").textContent = format(known.length ? top : null);
    const x = (ago) => WIDTH - ago * (WIDTH / (pointsMax - 1));
    const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 4);
    const shapes = [vector("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 })];
    const now = series.at(-1)?.at ?? 0;
    for (const mark of marks) {
      const ago = now - mark.at;
      if (ago >= 0 && ago < pointsMax) shapes.push(vector("line", { class: "mark", x1: x(ago), x2: x(ago), y1: 0, y2: HEIGHT }));
    }
    values.forEach((line, number) => shapes.push(...drawLine(line, x, y, number)));
    if (state.ago !== null) shapes.push(vector("line", { class: "cursor", x1: x(state.ago), x2: x(state.ago), y1: 0, y2: HEIGHT }));
    svg.replaceChildren(...shapes);
    readOut();
  }

  function readOut() {
    const { series, ago } = state;
    const point = series.at(-1 - (ago ?? 0));
    const text = point ? `${new Date(1000 * point.at).toISOString().slice(11, 19)} UTC: ${describe(point, series.length - 1 - (ago ?? 0))}` : "no data";
    readout.textContent = ago === null ? "" : text;
    element.setAttribute("aria-valuenow", String(-(ago ?? 0)));
    element.setAttribute("aria-valuetext", text);
  }

  function move(ago) {
    state.ago = ago === null ? null : Math.min(Math.max(0, state.series.length - 1), Math.max(0, ago));
    render();
  }

  element.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    move(Math.round(((box.right - event.clientX) / box.width) * (state.pointsMax - 1)));
  });
  element.addEventListener("pointerleave", () => move(null));
  element.addEventListener("focus", () => move(0));
  element.addEventListener("blur", () => move(null));
  element.addEventListener("keydown", (event) => {
    const ago = state.ago ?? 0;
    const target = {
      ArrowLeft: ago + 1, ArrowDown: ago + 1, ArrowRight: ago - 1, ArrowUp: ago - 1,
      PageDown: ago + PAGE_S, PageUp: ago - PAGE_S, Home: Infinity, End: 0, Escape: null,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    move(target);
  });

  return {
    draw(series, pointsMax, marks) {
      const isNewer = state.last !== undefined && series.at(-1)?.at > state.last;
      if (state.ago !== null && isNewer) state.ago = Math.min(series.length - 1, state.ago + 1); // the cursor keeps its point
      Object.assign(state, { series, pointsMax, marks, last: series.at(-1)?.at });
      render();
    },
  };
}

/** The area of the first line and the line itself; unknown values are gaps. */
function drawLine(values, x, y, number) {
  let path = "";
  let area = "";
  let began = null;
  values.forEach((value, index) => {
    if (value === null) {
      if (began !== null) area += `V${HEIGHT}H${began}Z`;
      began = null;
      return;
    }
    const left = x(values.length - 1 - index).toFixed(1);
    const step = `${began === null ? "M" : "L"}${left} ${y(value).toFixed(1)}`;
    path += step;
    area += step;
    began ??= left;
  });
  if (began !== null) area += `V${HEIGHT}H${began}Z`;
  const line = vector("path", { class: number ? "second" : "first", d: path });
  return number ? [line] : [vector("path", { class: "area", d: area }), line];
}
