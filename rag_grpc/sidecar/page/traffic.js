// Rate and latency, lately: two curves, and a row for each method and stage.

import { chart } from "./chart.js";
import { byId, el, redraw } from "./dom.js";
import { count, duration, rate, span } from "./format.js";

export function showTraffic(live) {
  const { over_time: points, methods, stages } = live;
  byId("traffic-span").textContent = `last ${span(live.recent)}`;
  redraw(
    byId("traffic"),
    points.length > 1 ? curves(points) : el("p", { class: "empty" }, `The first curves are there in ${span(live.interval * 2)}.`),
    methods.length ? table("Method", methods, methodCells, ["Calls/s", "p50", "p95", "p99", "Not OK"]) : el("p", { class: "empty" }, `There were no calls in the last ${span(live.recent)}.`),
    stages.length > 0 && el("details", { class: "stages", "data-key": "stages" },
      el("summary", { "data-key": "summary" }, "Stages of writes and queries"),
      table("Stage", stages, stageCells, ["Per s", "Mean", "p50", "p95", "p99"])),
  );
}

function curves(points) {
  const times = points.map((point) => -point.ago);
  const lastCalls = points.at(-1).rate;
  const latencies = points.filter((point) => point.p95 !== null);
  const lately = latencies.at(-1);
  const highest = Math.max(...points.map((point) => point.rate));
  const slowest = Math.max(...latencies.map((point) => point.p95), 0);
  const since = span(points[0].ago);
  return el("div", { class: "curves" },
    figure("Calls per second", [["calls", rate(lastCalls), "one"], ["not OK", rate(points.at(-1).failed), "bad"]], rate(highest), since, chart({
      times,
      label: `Calls per second over the last ${since}: now ${rate(lastCalls)}, at most ${rate(highest)}.`,
      lines: [{ values: points.map((point) => point.rate), shade: "one", filled: true }, { values: points.map((point) => point.failed), shade: "bad" }],
    })),
    figure("Latency", [["p50", duration(lately?.p50), "one"], ["p95", duration(lately?.p95), "two"]], slowest ? duration(slowest) : "", since, chart({
      times,
      label: `Latency over the last ${since}: median ${duration(lately?.p50)}, 95th percentile ${duration(lately?.p95)}.`,
      lines: [{ values: points.map((point) => point.p95), shade: "two" }, { values: points.map((point) => point.p50), shade: "one" }],
    })));
}

export function figure(title, legend, highest, since, drawn) {
  return el("figure", {},
    el("figcaption", {}, el("span", { class: "title" }, title),
      legend.map(([name, value, shade]) => el("span", { class: "legend" }, el("span", { class: `swatch ${shade}`, "aria-hidden": "true" }), `${name} `, el("b", {}, value)))),
    el("div", { class: "plot" }, drawn, el("span", { class: "highest", "aria-hidden": "true" }, highest)),
    el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, `${since} ago`), el("span", {}, "now")));
}

function table(first, rows, cells, heads) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `By ${first.toLowerCase()}`, "data-key": first },
    el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, first), heads.map((head) => el("th", { class: "number", scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, row.name)), cells(row))))));
}

function methodCells(row) {
  const codes = Object.entries(row.codes).map(([code, times]) => `${code} ${count(times)}`).join(", ");
  return [
    cell(rate(row.rate)),
    ...["p50", "p95", "p99"].map((name) => cell(duration(row[name]))),
    el("td", { class: codes ? "number codes" : "number muted" }, codes || "–"),
  ];
}

function stageCells(row) {
  return [cell(rate(row.rate)), ...["mean", "p50", "p95", "p99"].map((name) => cell(duration(row[name])))];
}

function cell(text) {
  return el("td", { class: "number" }, text);
}
