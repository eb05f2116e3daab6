// Time travel of a budget: the limit is dragged, and the page shows in which
// past periods it would have stopped the key, and when. Nothing is changed.
import { useEffect, useId, useMemo, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { ApiFailure, get } from "../../api/client";
import type { BudgetHistory, KeyDetail } from "../../api/types";
import { Bar } from "../../components/bar";
import { Select } from "../../components/field";
import { Failure } from "../../components/states";
import { Time } from "../../components/values";
import { amountOf, type Budget, budgetText, budgetsText, limitOf, parseBudget, parseBudgets, sameBudget, steps } from "./budgets";
import { keyPath } from "./save";

const spans: Record<string, number> = { day: 30, week: 90, month: 365, total: 365 };

export function TimeTravel({ of: key, use }: { of: KeyDetail; use?: (change: (budgets: string) => string) => void }) {
  const id = useId();
  const own = parseBudgets(key.fields.budget ?? "");
  const [base, setBase] = useState<Budget>(() => own[0] ?? { amount: "20", unit: "usd", period: "month", zone: "" });
  const days = spans[base.period] ?? 365;
  const limit = limitOf(base);
  const [history, setHistory] = useState<BudgetHistory | null>(null);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [scale, setScale] = useState<number[] | null>(null); // the limits that the slider has
  const text = Number.isNaN(limit) ? "" : budgetText(base);
  useEffect(() => {
    if (text === "") return;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answer = await get<BudgetHistory>(keyPath(key.id) + "/budget-history", { limit: text, since: days + "d" }, { signal: abort.signal });
        setHistory(answer);
        setFailure(null);
        setScale((old) => old ?? steps(answer.periods.map((p) => p.spent), limit, base.unit));
      } catch (err) {
        if (err instanceof ApiFailure) setFailure(err);
        else if ((err as Error).name !== "AbortError") throw err;
      }
    }, history ? 120 : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, days, key.id]);
  const kinds = useMemo(() => kindsOf(own), [key.fields.budget]);
  const change = (kind: string) => {
    const next = kinds.find((k) => kindOf(k) === kind) ?? kinds[0]!;
    setBase(next);
    setScale(null);
    setHistory(null);
  };
  const periods = known(history?.periods ?? []).reverse();
  const stopped = periods.filter((p) => p.stopped !== null).length;
  const at = scale ? closest(scale, limit) : 0;
  const amount = (n: number) => format.budgetAmount(n, base.unit);
  return (
    <div class="travel grid tight" data-travel>
      <h3>{t.keys.travel.title}</h3>
      <p class="muted small-text">{t.keys.travel.help}</p>
      <div class="row">
        <Select label={t.keys.form.period} value={kindOf(base)} onChange={change}
          options={kinds.map((k) => ({ value: kindOf(k), text: `${t.keys.unit[k.unit]} ${t.keys.period[k.period] ?? k.period}` }))} />
        <output class="travel-limit tabular" for={id + "-range"}>{Number.isNaN(limit) ? "–" : amount(limit)}</output>
        {use && text !== "" && !own.some((b) => budgetText(b) === text) && (
          <button type="button" class="button small" onClick={() => use((budgets) => replaced(budgets, base))}>{t.keys.travel.use}</button>
        )}
      </div>
      {scale && (
        <input id={id + "-range"} type="range" class="travel-range" aria-label={t.keys.travel.limit} min={0} max={scale.length - 1} step={1} value={at}
          aria-valuetext={amount(limit)} onInput={(e) => setBase({ ...base, amount: amountOf(scale[Number(e.currentTarget.value)]!, base.unit) })} />
      )}
      <Failure failure={failure} />
      {history && periods.length === 0 && <p class="muted">{t.keys.travel.nothing}</p>}
      {periods.length > 0 && (
        <>
          <p aria-live="polite" class={stopped > 0 ? "warn" : "good"}>{stopped > 0 ? t.keys.travel.stops(stopped, periods.length) : t.keys.travel.noStops(periods.length)}</p>
          <div class="table-box" tabIndex={0} role="region" aria-label={t.keys.travel.title}>
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">{t.keys.travel.period[base.period] ?? base.period}</th>
                  <th scope="col" class="num">{t.keys.travel.spent}</th>
                  <th scope="col" class="travel-bar"><span class="hidden">{t.keys.travel.limit}</span></th>
                  <th scope="col">{t.keys.travel.stopped}</th>
                </tr>
              </thead>
              <tbody>
                {periods.map((p) => (
                  <tr key={p.start}>
                    <th scope="row">{title(p.start, base.period)}</th>
                    <td class="num">{amount(p.spent)}</td>
                    <td class="travel-bar"><Bar part={p.spent} whole={limit} label={t.keys.bar(amount(p.spent), amount(limit))} /></td>
                    <td>{p.stopped ? <span class="bad"><Time at={p.stopped} /></span> : <span class="muted">{t.keys.travel.not}</span>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </div>
  );
}

// known leaves out the periods before the first one in which the key spent.
function known(periods: BudgetHistory["periods"]): BudgetHistory["periods"] {
  const first = periods.findIndex((p) => p.spent > 0);
  return first < 0 ? [] : periods.slice(first);
}

function title(start: string, period: string): string {
  if (period === "month") return format.month(start);
  return period === "total" ? t.keys.travel.period.total! : format.day(start);
}

const kindOf = (b: Budget) => `${b.unit}/${b.period}@${b.zone}`;

// kindsOf returns the budgets to try: those of the key, and the usual ones.
function kindsOf(own: Budget[]): Budget[] {
  const list = [...own];
  for (const text of ["20usd/month", "5usd/week", "1usd/day", "1mtokens/day"]) {
    const b = parseBudget(text)!;
    if (!list.some((o) => sameBudget(o, b))) list.push(b);
  }
  return list;
}

// replaced puts a budget in the place of the one that counts the same.
function replaced(budgets: string, b: Budget): string {
  const list = parseBudgets(budgets);
  const i = list.findIndex((o) => sameBudget(o, b));
  if (i < 0) list.push(b);
  else list[i] = b;
  return budgetsText(list);
}

function closest(scale: number[], limit: number): number {
  let best = 0;
  for (const [i, n] of scale.entries()) {
    if (Math.abs(n - limit) < Math.abs(scale[best]! - limit)) best = i;
  }
  return best;
}
