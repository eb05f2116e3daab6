// What today's prices would change in the ledger: a dry run.
import { useState } from "preact/hooks";
import { post } from "../../api/client";
import { useAction } from "../../api/use";
import { Dialog } from "../../components/dialog";
import { Field } from "../../components/field";
import type { Range } from "../../components/range";
import { Failure } from "../../components/states";
import { Code, Money } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";

interface Repriced {
  rows: number;
  priced: number;
  before_nano_usd: number;
  after_nano_usd: number;
}

export function Reprice({ range, model: given, onClose }: { range: Range; model?: string; onClose: () => void }) {
  const [model, setModel] = useState(given?.startsWith("!") ? "" : (given ?? ""));
  const [result, setResult] = useState<Repriced | null>(null);
  const action = useAction(async () => {
    setResult(await post<Repriced>("/usage/reprice", { since: range.since, ...(range.until && { until: range.until }), ...(model.trim() && { model: model.trim() }), dry_run: true }));
  });
  const command = ["forward usage reprice --since", range.since, ...(range.until ? ["--until", range.until] : []), ...(model.trim() ? ["--model", `'${model.trim().replaceAll("'", "'\\''")}'`] : [])].join(" ");
  return (
    <Dialog title={t.usage.repriceTitle} onClose={onClose} actions={<button type="button" class="button primary" disabled={action.busy} onClick={() => action.run()}>{t.usage.repriceRun}</button>}>
      <p class="muted">{t.usage.repriceText}</p>
      <Field label={t.usage.repriceModel}>
        <input value={model} placeholder={t.usage.repriceAll} autocomplete="off" spellcheck={false} onInput={(e) => { setModel(e.currentTarget.value); setResult(null); }} />
      </Field>
      <Failure failure={action.failure} />
      {result && (
        <div class="grid" role="status">
          <p>{t.usage.repriced(format.integer(result.rows), format.integer(result.priced))}</p>
          <dl class="compared">
            <div><dt class="muted small-text">{t.usage.before}</dt><dd><Money nano={result.before_nano_usd} /></dd></div>
            <div><dt class="muted small-text">{t.usage.after}</dt><dd><Money nano={result.after_nano_usd} /></dd></div>
            <div><dt class="muted small-text">{t.usage.difference}</dt><dd><Money nano={result.after_nano_usd - result.before_nano_usd} /></dd></div>
          </dl>
          {result.priced > 0 && <><p class="muted small-text">{t.usage.repriceApply}</p><Code text={command} /></>}
        </div>
      )}
    </Dialog>
  );
}
