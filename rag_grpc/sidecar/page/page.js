// The page: asks the server how it is, every few seconds while somebody looks, and shows it.

import { setUpAsking, showChoices } from "./asking.js";
import { showCollections, showHealth, showServer } from "./overview.js";
import { setUpQuality, showQuality } from "./quality.js";
import { read } from "./server.js";
import { showTraffic } from "./traffic.js";

const EVERY = 5000;
let last = null;
let timer = 0;

async function refresh() {
  clearTimeout(timer);
  try {
    const [overview, live] = await Promise.all([read("/page/overview.json"), read("/page/live.json")]);
    last = overview;
    showHealth(overview);
    showServer(overview);
    showCollections(overview);
    showChoices(overview);
    showTraffic(live);
    showQuality(overview.health.serving);
  } catch (problem) {
    showHealth(last, problem);
  }
  // Not by an interval: a slow server is not asked again before it has answered.
  if (!document.hidden) timer = setTimeout(refresh, EVERY);
}

setUpAsking();
setUpQuality();
document.addEventListener("visibilitychange", () => document.hidden || refresh());
refresh();
