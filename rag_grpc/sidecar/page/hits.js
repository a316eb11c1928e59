// What was found: passages, the parts of their scores, and how they were found.

import { el } from "./dom.js";
import { count, duration, plural, score } from "./format.js";

const STRATEGIES = {
  ann: "through the graph",
  exact: "compared one by one",
  ann_then_exact: "through the graph, then the rest one by one",
  lexical: "by words alone",
};
const STAGES = ["embed", "filter", "dense", "lexical", "fuse", "rerank", "fetch", "generate", "judge"];
const inOrder = (stage) => (STAGES.indexOf(stage) + STAGES.length + 1) % (STAGES.length + 1);
const SHADES = ["one", "two", "three", "four", "five", "six"];

export function plan(result, seconds) {
  const { mode, strategy, matching_chunks: matching } = result.plan;
  const stages = Object.entries(result.stages).filter(([, value]) => value > 0).sort(([one], [other]) => inOrder(one) - inOrder(other));
  const total = stages.reduce((sum, [, value]) => sum + value, 0);
  return el("section", { class: "card plan", "aria-label": "How it was found" },
    el("p", {},
      el("b", {}, mode), `, ${STRATEGIES[strategy] ?? strategy}`,
      matching !== null && `, ${plural(matching, "chunk")} ${matching === 1 ? "passes" : "pass"} the filter`,
      el("span", { class: "muted" }, ` · ${duration(total)} in the server, ${duration(seconds)} to here`)),
    el("div", { class: "stack", "aria-hidden": "true" }, stages.map(([, value], place) => bar(value / total, SHADES[place % SHADES.length]))),
    el("ul", { class: "stage-list" }, stages.map(([name, value], place) =>
      el("li", {}, el("span", { class: `swatch ${SHADES[place % SHADES.length]}`, "aria-hidden": "true" }), `${name} `, el("b", {}, duration(value))))));
}

function bar(share, shade) {
  const part = el("span", { class: `bar ${shade}` });
  // By property: the security policy forbids styles written as text.
  part.style.flexGrow = String(share);
  return part;
}

export function hits(found, { title }) {
  if (!found.length) return el("section", { class: "card" }, el("p", { class: "empty" }, "Nothing was found."));
  return el("section", { "aria-labelledby": "hits-title" },
    el("h2", { id: "hits-title" }, title, el("span", { class: "aside" }, plural(found.length, "passage"))),
    el("ol", { class: "hits" }, found.map((hit, place) => one(hit, place + 1))));
}

function one(hit, place) {
  const name = hit.title || hit.doc_id;
  const text = el("p", { class: "text", id: `text-${place}` }, marked(hit.text, hit.marks));
  const item = el("li", { class: "card hit", id: `hit-${place}`, tabindex: -1 },
    el("h3", {}, el("span", { class: "place" }, String(place)), name),
    el("p", { class: "where" }, hit.title && el("code", {}, hit.doc_id), ` chunk ${count(hit.ordinal)}`, hit.headings.length > 0 && ` · ${hit.headings.join(" › ")}`),
    text,
    more(text),
    scores(hit),
    metadata(hit));
  return item;
}

// Long passages are cut by style, and can be opened; the text is all there.
function more(text) {
  const button = el("button", { type: "button", class: "quiet more", "aria-expanded": "false", "aria-controls": text.id, hidden: true }, "Show all");
  button.addEventListener("click", () => open(text, button.getAttribute("aria-expanded") === "false"));
  return button;
}

export function open(text, whole) {
  const button = text.parentElement.querySelector(".more");
  text.classList.toggle("whole", whole);
  button.setAttribute("aria-expanded", String(whole));
  button.textContent = whole ? "Show less" : "Show all";
}

// Offer to open the passages that were cut; known only when they stand in the page.
export function offerMore(root) {
  for (const text of root.querySelectorAll(".hit .text")) {
    text.parentElement.querySelector(".more").hidden = text.scrollHeight <= text.clientHeight + 1;
  }
}

// `marks` and `quote` are in code points, which are not JavaScript's characters. A quote goes around its marks.
export function marked(text, marks, quote = null) {
  const points = Array.from(text);
  if (!quote) return highlighted(points, marks, 0, points.length);
  const [from, to] = quote;
  return [
    highlighted(points, marks, 0, from),
    el("span", { class: "quote" }, highlighted(points, marks, from, to)),
    highlighted(points, marks, to, points.length),
  ];
}

function highlighted(points, marks, begin, end) {
  const parts = [];
  let done = begin;
  for (const [from, to] of marks) {
    if (to <= begin || from >= end) continue;
    const [first, last] = [Math.max(from, done), Math.min(to, end)];
    parts.push(points.slice(done, first).join(""), el("mark", {}, points.slice(first, last).join("")));
    done = last;
  }
  parts.push(points.slice(done, end).join(""));
  return parts;
}

function scores(hit) {
  const entry = (name, value, rank = null) => el("div", { class: value === null ? "none" : "" },
    el("dt", {}, name),
    el("dd", {}, score(value), rank !== null && el("span", { class: "muted" }, ` #${rank}`)));
  return el("dl", { class: "scores" },
    entry("score", hit.score),
    entry("dense", hit.dense, hit.dense_rank),
    entry("lexical", hit.lexical, hit.lexical_rank),
    entry("re-rank", hit.rerank));
}

function metadata(hit) {
  if (!hit.metadata_bytes || (hit.metadata && !Object.keys(hit.metadata).length)) return null;
  const words = hit.metadata ? JSON.stringify(hit.metadata, null, 2) : `${count(hit.metadata_bytes)} bytes, which are too many to show`;
  return el("details", { class: "metadata" }, el("summary", {}, "Metadata"), el("pre", { tabindex: 0 }, words));
}
