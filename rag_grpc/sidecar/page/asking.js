// The box: a question goes out, hits come back. One at a time.

import { byId, el, show } from "./dom.js";
import { hits, offerMore, plan } from "./hits.js";
import { ask } from "./server.js";

const OTHER = "\u0000other";
let running = null;

export function setUpAsking() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    answer();
  });
  byId("collection").addEventListener("change", showOther);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) back(event);
  });
}

// Keep the choices as the server has them, and what was chosen.
export function showChoices(overview) {
  const names = overview.collections.map((each) => each.name).sort();
  if (!names.includes("default")) names.unshift("default");
  const options = names.map((name) => [name, name]);
  if (overview.totals.collections > overview.collections.length) options.push([OTHER, "another …"]);
  choose(byId("collection"), options, "default");
  offer("reranker", [["", "nothing"], ...overview.rerankers.map((name) => [name, name])]);
  showOther();
}

function offer(id, options) {
  byId(`${id}-label`).hidden = options.length < 2;
  choose(byId(id), options, options[0][0]);
}

function choose(select, options, preferred) {
  const now = JSON.stringify(options);
  if (select.dataset.options === now) return;
  const chosen = select.value || preferred;
  show(select, options.map(([value, words]) => el("option", { value }, words)));
  select.dataset.options = now;
  select.value = options.some(([value]) => value === chosen) ? chosen : preferred;
}

function showOther() {
  byId("other-label").hidden = byId("collection").value !== OTHER;
}

function question() {
  const chosen = byId("collection").value;
  return {
    query: byId("question").value,
    collection: chosen === OTHER ? byId("other").value.trim() : chosen,
    mode: byId("mode").value,
    top_k: byId("top-k").valueAsNumber,
    filter: byId("filter").value.trim(),
    reranker: byId("reranker").value,
  };
}

async function answer() {
  running?.abort();
  const mine = (running = new AbortController());
  const began = performance.now();
  busy(true);
  try {
    const result = await ask("/page/search", question(), mine.signal);
    const results = byId("results");
    show(results, plan(result, (performance.now() - began) / 1000), hits(result.hits, { title: "Hits" }));
    offerMore(results);
  } catch (error) {
    if (error.name !== "AbortError") show(byId("results"), failed(error));
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

function busy(is) {
  byId("ask").setAttribute("aria-busy", String(is));
  byId("submit").textContent = is ? "Asking …" : "Ask";
}

function failed(error) {
  return el("section", { class: "card notice bad", role: "alert" },
    el("p", {}, el("b", { class: "reason" }, error.reason ?? "ERROR"), ` ${error.fields?.length ? "" : error.message}`),
    error.fields?.length > 0 && el("ul", {}, error.fields.map((each) => el("li", {}, el("code", {}, each.field), ` ${each.description}`))));
}

// Escape goes one step back: it stops what runs, else it closes what was found.
function back(event) {
  if (running) {
    running.abort();
  } else if (byId("results").hasChildNodes()) {
    show(byId("results"));
    byId("question").focus();
  } else {
    return;
  }
  event.preventDefault();
}
