// How good the answers were, over time: a table for each collection and each who measured it.

import { chart } from "./chart.js";
import { byId, el, redraw } from "./dom.js";
import { number, plural, span } from "./format.js";
import { read } from "./server.js";

const EVERY = 60000;
const WHO = { canary: "by the canary", evaluation: "by evaluations" };
let asked = 0;

export function setUpQuality() {
  byId("quality-days").addEventListener("change", () => showQuality(true, { now: true }));
}

// It changes seldom, so it is asked for once a minute; and not before the server has loaded it.
export async function showQuality(serving, { now = false } = {}) {
  if (!serving && !asked) {
    redraw(byId("quality"), el("p", { class: "empty" }, "It is shown when the server has loaded."));
    return;
  }
  if (!serving || (asked && !now && performance.now() - asked < EVERY)) return;
  asked = performance.now();
  try {
    draw(await read(`/page/quality.json?days=${byId("quality-days").value}`));
  } catch (problem) {
    asked = 0;
    redraw(byId("quality"), el("p", { class: "empty" }, problem.message));
  }
}

function draw({ days, begin, end, curves }) {
  if (!curves.length) {
    redraw(byId("quality"),
      el("p", { class: "empty" }, `Nothing was measured in the last ${days === 1 ? "24 hours" : `${days} days`}.`),
      el("p", { class: "hint" }, "What evaluations find is kept here for 90 days, and so is what a canary finds, whose questions the server asks itself."));
    return;
  }
  const groups = new Map();
  for (const curve of curves) {
    const key = JSON.stringify([curve.collection, curve.origin]);
    groups.set(key, [...(groups.get(key) ?? []), curve]);
  }
  redraw(byId("quality"), [...groups].map(([key, group]) => table(...JSON.parse(key), group, begin, end)));
}

function table(collection, origin, curves, begin, end) {
  const latest = Math.max(...curves.map((curve) => curve.time));
  const name = collection || "all collections";
  return el("section", { class: "measures", "aria-label": `${name}, ${WHO[origin] ?? origin}` },
    el("h3", {}, el("code", {}, name), el("span", { class: "aside" }, `${WHO[origin] ?? origin}, last ${ago(end - latest)}`)),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Measures of ${name}`, "data-key": `${name} ${origin}` },
      el("table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Measure"), el("th", { scope: "col" }, "Course"),
          ["Last", "Change", "Lowest"].map((head) => el("th", { class: "number", scope: "col" }, head)))),
        el("tbody", {}, curves.map((curve) => row(curve, begin, end))))));
}

function row(curve, begin, end) {
  const change = curve.last - curve.first;
  // To the last digit shown, so that what reads as the same is called the same.
  const moved = curve.count > 1 && Math.abs(change) >= 0.0005;
  return el("tr", {},
    el("th", { scope: "row" }, el("code", {}, curve.measure)),
    el("td", { class: "course" }, drawn(curve, begin, end)),
    el("td", { class: "number" }, el("b", {}, fixed(curve.last))),
    el("td", { class: `number ${moved ? (change < 0 ? "fell" : "rose") : "muted"}` }, moved ? `${change < 0 ? "−" : "+"}${fixed(Math.abs(change))}` : "–"),
    el("td", { class: "number muted" }, fixed(curve.lowest)));
}

// No flatter than a span of 0.05: what hardly moves shall not look as if it did.
function drawn(curve, begin, end) {
  const { lowest, highest, points, measure } = curve;
  const middle = (lowest + highest) / 2;
  const half = Math.max((highest - lowest) / 2, 0.025);
  const times = [begin, ...points.map(([time]) => time), end];
  return chart({
    times,
    floor: middle - half,
    top: middle + half,
    small: true,
    label: `${measure}: ${plural(curve.count, "measurement")} from ${fixed(lowest)} to ${fixed(highest)}, last ${fixed(curve.last)}.`,
    lines: [
      { values: [null, ...points.map(([, , low]) => low), null], shade: "pale" },
      { values: [null, ...points.map(([, mean]) => mean), null], shade: "one" },
    ],
  });
}

const fixed = (value) => (Math.abs(value) <= 10 ? value.toFixed(3) : number(value));
const ago = (seconds) => (seconds < 5 ? "just now" : `${span(seconds)} ago`);
