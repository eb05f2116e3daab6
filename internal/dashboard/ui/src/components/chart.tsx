// Charts of values over time, stacked. uPlot is loaded when the first chart is
// drawn. A canvas says nothing to a screen reader, so a table of the same
// numbers stands below it.
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { language } from "../i18n";
import { theme } from "../theme";

export interface Series {
  name: string;
  values: number[]; // one for each label
  /** Number of the colour, 1 to 9; 9 is grey. Without it, the place in the list. */
  color?: number;
}

export interface ChartProps {
  label: string;
  /** The x axis: a text for each point. */
  labels: string[];
  series: Series[];
  format: (n: number) => string;
  kind?: "bars" | "lines"; // bars are stacked
  height?: number;
  /** A click on the point of a label. */
  onPick?: (index: number) => void;
  table?: boolean; // false: the caller has the table
}

export function Chart(props: ChartProps) {
  const { label, labels, series, format } = props;
  const box = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let plot: { destroy: () => void } | undefined;
    let gone = false;
    import("./plot").then(({ draw }) => {
      if (!gone && box.current) plot = draw(box.current, props, setHover);
    }, () => setFailed(true));
    return () => {
      gone = true;
      plot?.destroy();
    };
  }, [labels, series, props.kind, props.height, theme.value, language.value]);
  const at = hover !== null && hover < labels.length ? hover : null;
  return (
    <figure class="chart" aria-label={label}>
      {!failed && <div class="chart-box" ref={box} style={{ height: `${props.height ?? 220}px` }} aria-hidden="true" />}
      <figcaption class="legend">
        <span class="muted legend-at">{at === null ? t.common.chartTotal : labels[at]}</span>
        {series.map((s, i) => (
          <span key={s.name + i} class="legend-item">
            <i data-series={s.color ?? (i % 8) + 1} />
            <bdi dir="auto">{s.name}</bdi>
            <b class="tabular">{format(at === null ? s.values.reduce((a, b) => a + b, 0) : s.values[at] ?? 0)}</b>
          </span>
        ))}
      </figcaption>
      {props.table !== false && (
        <details class="chart-table">
          <summary>{t.common.chartTable}</summary>
          <div class="table-box" tabIndex={0} role="region" aria-label={label}>
            <table class="table">
              <thead><tr><th scope="col">{t.common.time}</th>{series.map((s, i) => <th key={i} scope="col" class="num"><bdi dir="auto">{s.name}</bdi></th>)}</tr></thead>
              <tbody>{labels.map((text, i) => <tr key={i}><th scope="row">{text}</th>{series.map((s, j) => <td key={j} class="num">{format(s.values[i] ?? 0)}</td>)}</tr>)}</tbody>
            </table>
          </div>
        </details>
      )}
    </figure>
  );
}
