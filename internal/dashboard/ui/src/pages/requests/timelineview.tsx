// The timeline of a request as bars, with a list of the same for readers of
// text.
import type { RequestRow } from "../../api/types";
import * as format from "../../format";
import { t } from "../../i18n";
import { timeline } from "./timeline.ts";

export function Timeline({ row }: { row: RequestRow }) {
  const line = timeline(row);
  const texts = t.requests;
  if (line.total === 0) return <p class="muted small-text">{texts.sheet.noTimes}</p>;
  const percent = (ms: number) => `${((ms / line.total) * 100).toFixed(3)}%`;
  return (
    <div class="timeline">
      <ol>
        {line.spans.map((s) => (
          <li key={s.phase}>
            <span>{texts.phases[s.phase]}</span>
            <span class="lane" aria-hidden="true">
              <i class={s.phase} style={{ marginInlineStart: percent(s.start), width: percent(s.end - s.start) }} />
              {line.marks.map((m, i) => m.at > s.start && m.at <= s.end && <b key={i} title={`${m.name}: ${m.text}`} style={{ insetInlineStart: percent(m.at) }} />)}
            </span>
            <span class="num">{format.duration(s.end - s.start)}</span>
          </li>
        ))}
      </ol>
      <div class="axis muted small-text" aria-hidden="true">
        <span>0</span>
        <span>{format.duration(line.total)}</span>
      </div>
    </div>
  );
}
