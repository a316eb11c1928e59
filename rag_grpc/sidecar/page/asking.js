// The box: a question goes out, hits come back. One at a time.

import { byId, el, show } from "./dom.js";
import { answerCard } from "./answer.js";
import { plural } from "./format.js";
import { hits, offerMore, plan } from "./hits.js";
import { ask, lines, Problem } from "./server.js";
import { leave } from "./sources.js";

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
  offer("generator", overview.generators.length ? [...overview.generators.map((name) => [name, name]), ["", "nobody: passages alone"]] : [["", "nobody"]]);
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
  busy(true);
  try {
    const generator = byId("generator").value;
    if (generator) await written({ ...question(), generator }, mine.signal);
    else await searched(question(), mine.signal);
  } catch (error) {
    if (error.name === "AbortError") tell("Stopped.");
    else show(byId("results"), failed(error));
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

async function searched(asked, signal) {
  const began = performance.now();
  const result = await ask("/page/search", asked, signal);
  show(byId("results"), plan(result, (performance.now() - began) / 1000), hits(result.hits, { title: "Hits" }));
  offerMore(byId("results"));
  tell(`${plural(result.hits.length, "passage")} found.`);
}

async function written(asked, signal) {
  const began = performance.now();
  const results = byId("results");
  const card = answerCard();
  let found = null;
  try {
    for await (const event of lines("/page/answer", asked, signal)) {
      if (event.found) {
        found = event.found;
        show(results, card.card, plan(found, (performance.now() - began) / 1000), hits(found.hits, { title: "Sources" }));
        offerMore(results);
      } else if (event.text) {
        card.write(event.text);
      } else if (event.answer) {
        card.finish(event.answer, found);
        tell(`${event.answer.text} ${plural(found.hits.length, "source")}.`);
        return;
      } else if (event.error) {
        throw new Problem(event.error);
      }
    }
    throw new Problem({ reason: "UNREACHED", message: "The answer broke off." });
  } catch (error) {
    if (!found) throw error;
    // What was found stays, and so does what was written; it is not said to be an answer.
    if (error.name !== "AbortError") card.card.after(failed(error));
    card.stop(error.name === "AbortError" ? "was stopped, and was not checked" : "broke off, and was not checked");
    if (error.name === "AbortError") throw error;
  }
}

// For those who listen: what the eye sees at once.
function tell(words) {
  byId("told").textContent = words;
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

// Escape goes one step back: it stops what runs, else it leaves a source for the answer, else it closes all.
function back(event) {
  if (running) {
    running.abort();
  } else if (leave()) {
    // The focus is where the source was cited.
  } else if (byId("results").hasChildNodes()) {
    show(byId("results"));
    byId("question").focus();
  } else {
    return;
  }
  event.preventDefault();
}
