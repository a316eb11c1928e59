// Lines over time, as small as they can be read. Each has words beside it that say the same.

import { svg } from "./dom.js";

const WIDTH = 320;

// `lines`: {name, values, shade}; a value may be null, where nothing was measured. `times` go from old
// to new in the same order, in any unit. `label` says in words what is drawn. A `small` one has no grid.
export function chart({ lines, times, label, floor = 0, top = null, small = false }) {
  const height = small ? 26 : 72;
  const [first, last] = [times[0], times.at(-1)];
  const highest = top ?? Math.max(...lines.flatMap((line) => line.values.filter((value) => value !== null)), 0);
  const x = (time) => (last === first ? WIDTH : ((time - first) / (last - first)) * WIDTH);
  const y = (value) => height - ((value - floor) / (highest - floor || 1)) * (height - 4) - 1;
  const root = svg("svg", { class: small ? "chart small" : "chart", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const share of small ? [] : [0, 0.5, 1]) {
    const level = y(floor + share * (highest - floor));
    root.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: level, y2: level }));
  }
  for (const line of lines) {
    for (const run of runs(line.values)) {
      const points = run.map((place) => `${x(times[place]).toFixed(1)},${y(line.values[place]).toFixed(1)}`);
      if (line.filled && points.length > 1) {
        const [begin, end] = [x(times[run[0]]).toFixed(1), x(times[run.at(-1)]).toFixed(1)];
        root.append(svg("polygon", { class: `area ${line.shade}`, points: `${begin},${height} ${points.join(" ")} ${end},${height}` }));
      }
      // One value alone has no length; a line to itself with round ends is a dot.
      root.append(svg("polyline", { class: `line ${line.shade}`, points: [points[0], ...points].join(" ") }));
    }
  }
  return root;
}

// The places of values that follow each other without a gap.
function runs(values) {
  const found = [];
  let run = [];
  values.forEach((value, place) => {
    if (value !== null) run.push(place);
    else if (run.length) [run] = [[], found.push(run)];
  });
  if (run.length) found.push(run);
  return found;
}
