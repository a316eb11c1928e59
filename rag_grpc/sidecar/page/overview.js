// What runs here: health, models, collections.

import { byId, el, redraw } from "./dom.js";
import { bytes, count, plural, span } from "./format.js";

export function showHealth(overview, problem) {
  const health = overview?.health;
  const state = problem ? "bad" : health.serving ? (health.writable ? "good" : "fair") : "bad";
  const words = problem
    ? problem.message
    : health.serving
      ? health.writable
        ? "serving"
        : `serving reads, not writes: ${health.write_reason}`
      : `not serving: ${health.reason}`;
  byId("health").className = `health ${state}`;
  // Only what changed is told to those who listen.
  if (byId("health-text").textContent !== words) byId("health-text").textContent = words;
  if (!overview) return;
  byId("version").textContent = overview.version;
  byId("uptime").textContent = `up ${span(overview.uptime)}`;
}

export function showServer(overview) {
  const { disk, waiting, totals } = overview;
  const rows = [
    ["Store", overview.store === "memory" ? "memory, which forgets when the server stops" : overview.store],
    ["Embedders", models(overview.embedders.map((each) => [each.name, embedderWords(each)]))],
    ["Re-rankers", models(overview.rerankers.map((name) => [name]))],
    ["Generators", models(overview.generators.map((name) => [name]))],
    ["Judges", models(overview.judges.map((name) => [name]))],
    ["Holds", `${plural(totals.documents, "document")}, ${plural(totals.chunks, "chunk")}`],
    ["Disk", disk.used === null ? "not used" : `${bytes(disk.used)} used, ${bytes(disk.free)} free`],
    ["Waiting", `${plural(waiting.write, "write")}, ${plural(waiting.search, "search").replace("searchs", "searches")}`],
  ];
  redraw(byId("server"), el("dl", { class: "facts" }, rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

function models(entries) {
  if (!entries.length) return el("span", { class: "muted" }, "none");
  return el("ul", { class: "models" }, entries.map(([name, words], place) =>
    el("li", {}, el("code", {}, name), words && el("span", { class: "muted" }, ` ${words}`), place === 0 && entries.length > 1 && el("span", { class: "tag" }, "default"))));
}

function embedderWords({ dimension, max_tokens: most }) {
  if (dimension === null) return "is loading";
  return `${count(dimension)} dimensions${most ? `, reads ${count(most)} tokens` : ""}`;
}

export function showCollections(overview) {
  const { collections, totals, health } = overview;
  byId("collections-count").textContent = totals.collections ? count(totals.collections) : "";
  if (!collections.length) {
    redraw(byId("collections"), el("p", { class: "empty" }, health.serving ? "There are none." : "They are shown when the server has loaded."));
    return;
  }
  const more = totals.collections - collections.length;
  redraw(
    byId("collections"),
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Collections", "data-key": "collections" },
      el("table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Name"), numeric("th", "Documents"), numeric("th", "Chunks"), el("th", { scope: "col" }, "Embedded by"), el("th", { scope: "col" }, "Index"))),
        el("tbody", {}, collections.map(row)))),
    more > 0 && el("p", { class: "hint" }, `and ${plural(more, "smaller one")}`),
  );
}

function row(each) {
  const embedder = each.embedder === "none" ? "the caller" : each.embedder;
  return el("tr", {},
    el("th", { scope: "row", class: "wraps" }, el("code", {}, each.name)),
    numeric("td", count(each.documents)),
    numeric("td", count(each.chunks)),
    el("td", {}, el("code", {}, embedder), el("span", { class: "muted" }, ` ${count(each.dimension)} · ${each.metric.toLowerCase()}`)),
    el("td", { class: "muted" }, index(each)));
}

function index({ graph, dead, tail, chunks }) {
  if (!graph && !dead) return chunks ? "exact" : "–";
  const parts = [`graph of ${count(graph)}`];
  if (tail) parts.push(`${count(tail)} exact`);
  if (dead) parts.push(`${count(dead)} dead`);
  return parts.join(", ");
}

function numeric(name, text) {
  return el(name, { class: "number", scope: name === "th" ? "col" : null }, text);
}
