// The histogram over the rows: requests by time, failed ones in red.
import type { Histogram as Data } from "../../api/types";
import * as format from "../../format";
import { t } from "../../i18n";

export function Histogram({ data, onPick }: { data: Data; onPick: (since: string, until: string) => void }) {
  const texts = t.requests;
  const high = Math.max(1, ...data.buckets.map((b) => b.requests));
  const sum = (of: (b: Data["buckets"][number]) => number) => data.buckets.reduce((n, b) => n + of(b), 0);
  const n = Math.max(1, data.buckets.length);
  const label = texts.histogram(format.integer(sum((b) => b.requests)), format.integer(sum((b) => b.errors)));
  const title = (b: Data["buckets"][number]) =>
    texts.bucket(format.dateTime(b.time), format.integer(b.requests), format.integer(b.errors), format.money(b.cost_nano_usd));
  const pick = (i: number) => {
    const b = data.buckets[i]!;
    onPick(b.time, data.buckets[i + 1]?.time ?? data.until);
  };
  return (
    <figure class="histogram">
      <svg viewBox={`0 0 ${n * 10} 64`} preserveAspectRatio="none" role="img" aria-label={label}>
        {data.buckets.map((b, i) => {
          const height = b.requests ? Math.max(2, (b.requests / high) * 62) : 0;
          const failed = b.errors ? Math.max(1.5, (b.errors / high) * 62) : 0;
          return (
            <g key={b.time} class="bucket" onClick={() => pick(i)}>
              <title>{title(b)}</title>
              <rect class="hit" x={i * 10} y="0" width="10" height="64" />
              <rect class="all" x={i * 10 + 1} y={64 - height} width="8" height={height} />
              <rect class="failed" x={i * 10 + 1} y={64 - failed} width="8" height={failed} />
            </g>
          );
        })}
      </svg>
      <figcaption class="small-text muted">
        <span>{format.dateTime(data.since)}</span>
        <span title={texts.zoom}>{label}</span>
        <span>{format.dateTime(data.until)}</span>
      </figcaption>
    </figure>
  );
}
