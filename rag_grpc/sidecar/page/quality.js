// How good the answers were, over time.

import { byId, el, show } from "./dom.js";

export function showQuality() {
  show(byId("quality"), el("p", { class: "empty" }, "Nothing was measured yet."));
}
