// An answer: its sentences with how far the sources support each, and citations that lead to them.

import { el, show } from "./dom.js";
import { count, duration } from "./format.js";
import { findQuote, lead } from "./sources.js";

const FINISHES = { length: "cut at its longest", not_grounded: "not grounded", complete: null };
const CITATION = /(\[\d+\])/;

// A card for an answer that is being written: `write` adds a piece, `finish` puts the checked answer there.
export function answerCard() {
  const text = el("p", { class: "answer-text writing" });
  const aside = el("span", { class: "aside" }, "is being written …");
  const card = el("section", { class: "card answer", "aria-labelledby": "answer-title", "aria-busy": "true" },
    el("h2", { id: "answer-title" }, "Answer", aside), text);
  const end = (words) => {
    card.setAttribute("aria-busy", "false");
    text.classList.remove("writing");
    aside.textContent = words;
  };
  return {
    card,
    write: (piece) => text.append(piece),
    stop: (words) => end(words),
    finish: (answer, found) => {
      end(facts(answer));
      card.classList.toggle("ungrounded", !answer.grounded);
      show(text, sentences(answer, found));
      if (!answer.grounded) text.after(el("p", { class: "hint" }, "The passages below were found, but do not support an answer."));
      else text.after(el("p", { class: "hint" }, "Numbers lead to the passages that a sentence cites; the figure behind them says how far those support it, from 0 to 1."));
    },
  };
}

function facts({ generator, finish, seconds, tokens }) {
  const words = [generator, duration(seconds), FINISHES[finish] ?? null];
  if (tokens.input || tokens.output) words.push(`${count(tokens.input)} tokens read, ${count(tokens.output)} written`);
  return words.filter(Boolean).join(" · ");
}

// Offsets are in code points, which are not JavaScript's characters.
function sentences(answer, found) {
  const points = Array.from(answer.text);
  const parts = [];
  let end = 0;
  for (const claim of answer.claims) {
    parts.push(points.slice(end, claim.start).join(""));
    parts.push(sentence(points.slice(claim.start, claim.end).join(""), claim, answer.grounded, found));
    end = claim.end;
  }
  parts.push(points.slice(end).join(""));
  return parts;
}

function sentence(text, claim, grounded, found) {
  if (!grounded) return text;
  const bare = text.split(CITATION).filter((part) => !CITATION.test(part)).join("");
  const parts = text.split(CITATION).map((part) => {
    const place = CITATION.test(part) ? Number(part.slice(1, -1)) : 0;
    return claim.sources.includes(place) && found.hits[place - 1] ? citation(place, bare, found.hits[place - 1]) : part;
  });
  return el("span", { class: "claim" }, parts, support(claim.support));
}

function citation(place, words, hit) {
  const button = el("button", { type: "button", class: "citation", "aria-label": `Source ${place}: ${hit.title || hit.doc_id}`, title: hit.title || hit.doc_id }, String(place));
  button.addEventListener("click", () => lead(place, hit, findQuote(hit.text, words), button));
  return button;
}

// Words and a figure, not colour alone.
function support(value) {
  const level = value >= 0.75 ? "well" : value >= 0.5 ? "partly" : "poorly";
  return el("span", { class: `support ${level}`, title: `${level} supported by what it cites` },
    el("span", { class: "unseen" }, "support "), value.toFixed(2));
}
