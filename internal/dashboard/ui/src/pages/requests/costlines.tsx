// What a request used and what each of it cost.
import type { RequestDetail } from "../../api/types";
import { Money, Name } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { JSONTree } from "./jsontree";

export function CostLines({ detail }: { detail: RequestDetail }) {
  const row = detail.request;
  const texts = t.requests.sheet;
  return (
    <>
      {detail.cost_lines.length === 0 ? (
        <p class="muted small-text">{row.unmetered ? texts.unmetered : texts.noLines}</p>
      ) : (
        <div class="table-box">
          <table class="table">
            <thead>
              <tr><th scope="col">{texts.line.name}</th><th scope="col" class="num">{texts.line.quantity}</th><th scope="col" class="num">{texts.line.rate}</th><th scope="col" class="num">{texts.line.cost}</th></tr>
            </thead>
            <tbody>
              {detail.cost_lines.map((l, i) => (
                <tr key={i}>
                  <td><Name>{l.name}</Name></td>
                  <td class="num">{format.integer(l.quantity)} <span class="muted">{l.unit}</span></td>
                  <td class="num">{l.rate_nano_usd_per_million === null ? <span class="muted">–</span> : <Money nano={l.rate_nano_usd_per_million} />}</td>
                  <td class="num"><Money nano={l.cost_nano_usd} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <ul class="notes small-text muted">
        {row.cached_read_tokens > 0 && <li>{texts.cached(format.integer(row.cached_read_tokens))}</li>}
        {row.reasoning_tokens > 0 && <li>{texts.reasoning(format.integer(row.reasoning_tokens))}</li>}
        {row.estimated && <li>{texts.tokens}: {texts.estimated}</li>}
        {row.price && <li>{texts.price}: <bdi dir="auto">{row.price}</bdi></li>}
        {row.list_nano_usd !== null && row.list_nano_usd !== undefined && <li>{texts.listed(format.money(row.list_nano_usd))}</li>}
        {row.saved_nano_usd > 0 && <li>{texts.saved(format.money(row.saved_nano_usd))}</li>}
        {row.reported_nano_usd !== null && row.reported_nano_usd !== undefined && <li>{texts.reported(format.money(row.reported_nano_usd))}</li>}
      </ul>
      {row.usage !== undefined && row.usage !== null && (
        <details>
          <summary>{texts.rawUsage}</summary>
          <JSONTree value={row.usage} />
        </details>
      )}
    </>
  );
}
