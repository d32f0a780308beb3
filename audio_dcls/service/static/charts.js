// Draws the curves of runs with uPlot: one colour and dash per seed, a legend for the cursor, the width of the page.

// The colours of Okabe and Ito, which colour-blind readers can distinguish; in print the dashes differ.
// The darker ones come first on a light page, the lighter ones on a dark page.
const COLOURS = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8860b"],
  dark: ["#56b4e9", "#e69f00", "#2fc59a", "#cc79a7", "#f0e442", "#ff8a4c", "#b0b0b0", "#4f9dd0"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2]];

export function curveChart(node, { title, digits, signal }) {
  let plot = null;
  let series = [];
  const draw = () => {
    plot?.destroy();
    plot = null;
    node.dataset.points = String(series.reduce((sum, one) => sum + one.x.length, 0));
    node.querySelector(".chart-empty").hidden = node.dataset.points !== "0";
    if (node.dataset.points === "0" || !node.clientWidth) return;
    const style = getComputedStyle(node);
    const ink = style.getPropertyValue("--ink-2").trim();
    const line = style.getPropertyValue("--line").trim();
    const colours = COLOURS[style.colorScheme === "dark" ? "dark" : "light"];
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: "12px system-ui" };
    const options = {
      width: node.clientWidth,
      height: 260,
      cursor: { y: false },
      scales: { x: { time: false } },
      axes: [{ ...axis, label: "epoch", labelFont: "12px system-ui", labelSize: 20 }, { ...axis, size: 56 }],
      series: [{ label: "epoch", value: (_, value) => (value === null ? "–" : value.toFixed(2)) }, ...series.map((one, index) => ({
        label: one.name,
        stroke: colours[index % colours.length],
        dash: DASHES[Math.floor(index / colours.length) % DASHES.length].length ? DASHES[Math.floor(index / colours.length) % DASHES.length] : DASHES[index % DASHES.length],
        width: 2,
        spanGaps: true,
        points: { show: one.x.length < 40, size: 6 },
        value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(digits)),
      }))],
    };
    plot = new uPlot(options, joined(series), node.querySelector(".chart-body"));
  };
  new ResizeObserver(() => {
    if (plot && Math.abs(plot.width - node.clientWidth) > 1) plot.setSize({ width: node.clientWidth, height: 260 });
    else if (!plot) draw();
  }).observe(node);
  addEventListener("themechange", draw, { signal });
  node.setAttribute("aria-label", title);
  return {
    set(next) {
      series = next;
      draw();
    },
  };
}

// One row of epochs for all series; a series has null where it has no point.
function joined(series) {
  const places = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const row = new Map(places.map((place, index) => [place, index]));
  return [places, ...series.map((one) => {
    const values = new Array(places.length).fill(null);
    one.x.forEach((place, index) => (values[row.get(place)] = one.y[index]));
    return values;
  })];
}
