// The drawing of a chart with uPlot, in a chunk of its own.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { ChartProps } from "./chart";

/** draw fills the box and redraws when its width changes. */
export function draw(box: HTMLElement, props: ChartProps, onHover: (index: number | null) => void): { destroy: () => void } {
  const { labels, series, format, kind = "bars" } = props;
  const style = getComputedStyle(box);
  // A custom property computes to the text of light-dark(), a colour does not.
  const probe = box.appendChild(document.createElement("i"));
  const color = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = series.map((s, i) => color(`--series-${s.color ?? (i % 8) + 1}`));
  const muted = color("--muted");
  const grid = color("--line");
  probe.remove();

  // Stacked: each series is drawn from the bottom to its sum, the highest sum
  // first, so that the lower ones cover it.
  const sums = labels.map(() => 0);
  const stacked = series.map((s) => labels.map((_, i) => (sums[i] = (kind === "bars" ? sums[i]! : 0) + (s.values[i] ?? 0))));
  const order = series.map((_, i) => i);
  if (kind === "bars") order.reverse();
  const axis = { stroke: muted, font: `11px ${style.fontFamily}`, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  // About the width of the longest label; a Chinese character is square.
  const widest = Math.max(0, ...labels.map((text) => [...text].reduce((n, c) => n + (c > "\u2e80" ? 11.5 : 6.6), 0)));
  const bars = uPlot.paths.bars!({ size: [0.72, 48] });

  const plot = new uPlot(
    {
      width: Math.max(120, box.clientWidth),
      height: props.height ?? 220,
      padding: [10, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: kind === "lines" }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [-0.6, labels.length - 0.4] },
        y: { range: (_, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...axis, size: 26, grid: { show: false }, space: Math.max(64, widest + 16), incrs: [1, 2, 3, 4, 6, 7, 12, 14, 24, 48, 96, 168], values: (_, at) => at.map((i) => (Number.isInteger(i) ? labels[i] ?? "" : "")) },
        { ...axis, size: (u, values) => Math.max(44, ...(values ?? []).map((v) => 14 + u.ctx.measureText(v).width / devicePixelRatio)), space: 44, values: (_, at) => at.map((n) => format(n)) },
      ],
      series: [
        {},
        ...order.map((i) =>
          kind === "bars"
            ? { paths: bars, fill: colors[i]!, width: 0, points: { show: false } }
            : { stroke: colors[i]!, width: 2, points: { show: labels.length < 3 } },
        ),
      ],
      hooks: {
        setCursor: [(u) => onHover(u.cursor.idx ?? null)],
        ready: [
          (u) => {
            u.over.addEventListener("mouseleave", () => onHover(null));
            if (!props.onPick) return;
            u.over.style.cursor = "pointer";
            u.over.addEventListener("click", () => u.cursor.idx != null && props.onPick!(u.cursor.idx));
          },
        ],
      },
    },
    [labels.map((_, i) => i), ...order.map((i) => stacked[i]!)],
    box,
  );
  const watch = new ResizeObserver(() => {
    const width = Math.max(120, box.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height: plot.height });
  });
  watch.observe(box);
  return {
    destroy() {
      watch.disconnect();
      plot.destroy();
    },
  };
}
