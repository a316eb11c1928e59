// From a citation to its source and back: the passage is marked, and what was taken from it in it.

import { byId, show } from "./dom.js";
import { marked, open } from "./hits.js";

let left = null;

// Go to a source; `quote` is where in it the cited words stand, null where it says so in its own words.
export function lead(place, hit, quote, from) {
  leave({ back: false });
  const card = byId(`hit-${place}`);
  const text = byId(`text-${place}`);
  card.classList.add("led");
  show(text, marked(hit.text, hit.marks, quote));
  open(text, true);
  card.focus({ preventScroll: true });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  (card.querySelector(".quote") ?? card).scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  left = { card, text, hit, from };
}

// Unmark the source that was gone to; say whether there was one.
export function leave({ back = true } = {}) {
  if (!left || !left.card.isConnected) {
    left = null;
    return false;
  }
  const { card, text, hit, from } = left;
  left = null;
  card.classList.remove("led");
  show(text, marked(hit.text, hit.marks));
  open(text, false);
  if (back) from.focus();
  return true;
}

// Where words stand in a text, in code points, whatever the space between them; null where they do not.
export function findQuote(text, words) {
  const wanted = squeezed(Array.from(words)).points.join("").trim();
  if (!wanted) return null;
  const { points, places } = squeezed(Array.from(text));
  const whole = points.join("");
  const at = whole.indexOf(wanted);
  if (at < 0) return null;
  const from = Array.from(whole.slice(0, at)).length;
  const length = Array.from(wanted).length;
  return [places[from], places[from + length - 1] + 1];
}

// A text with each run of white space as one blank, and where each of its characters stood.
function squeezed(text) {
  const points = [];
  const places = [];
  text.forEach((point, place) => {
    const blank = /\s/.test(point);
    if (blank && points.at(-1) === " ") return;
    points.push(blank ? " " : point);
    places.push(place);
  });
  return { points, places };
}
