// Parts of a whole: the bar of a budget, and a line of a few numbers.
import { t } from "../i18n";
import * as format from "../format";
import type { BudgetView } from "../api/types";
import { Time } from "./values";

/** A bar of part of whole, with what is reserved behind it. A neutral bar does
 *  not change its colour where the whole is near. */
export function Bar({ part, held = 0, whole, label, neutral }: { part: number; held?: number; whole: number; label: string; neutral?: boolean }) {
  const share = whole > 0 ? part / whole : 0;
  const tone = neutral ? "" : share >= 1 ? "bad" : share >= 0.8 ? "warn" : "";
  const width = (n: number) => `${Math.max(0, Math.min(100, n * 100))}%`;
  return (
    <div class={`bar ${tone}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(Math.min(1, share) * 100)}>
      {held > 0 && <i class="held" style={{ width: width(share + held / whole) }} />}
      <i style={{ width: width(share) }} />
    </div>
  );
}

/** A budget: what is spent of it, what is held, when it starts again. */
export function Budget({ budget, compact }: { budget: BudgetView; compact?: boolean }) {
  const amount = (n: number) => format.budgetAmount(n, budget.unit);
  const of = t.common.spentOf(compact && budget.unit === "usd" ? format.moneyShort(budget.spent) : amount(budget.spent), amount(budget.limit));
  return (
    <div class="budget">
      <div class="row small-text">
        <span class="tabular" title={budget.unit === "usd" ? "$" + (budget.spent / 1e9).toFixed(9) : format.integer(budget.spent)}>{of}</span>
        {budget.tag && <span class="badge"><bdi dir="auto">{budget.tag}</bdi></span>}
        {!compact && budget.held > 0 && <span class="muted">{t.common.held(amount(budget.held))}</span>}
        {budget.reset && <span class={`muted grow num${compact ? " minor" : ""}`} title={t.common.resets}>{compact ? <Time at={budget.reset} only="day" /> : <>{t.common.resets} <Time at={budget.reset} /></>}</span>}
      </div>
      <Bar part={budget.spent} held={budget.held} whole={budget.limit} label={of} />
    </div>
  );
}

/** A small line of numbers; the text beside it says what they are. */
export function Spark({ values, label, tone = "" }: { values: number[]; label: string; tone?: "" | "bad" | "good" }) {
  if (values.length < 2) return <svg class="spark" aria-hidden="true" />;
  const high = Math.max(...values, 1e-9);
  const x = (i: number) => (i / (values.length - 1)) * 100;
  const y = (n: number) => 26 - (n / high) * 24;
  const line = values.map((n, i) => `${x(i).toFixed(2)},${y(n).toFixed(2)}`).join(" ");
  return (
    <svg class={`spark ${tone}`} viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label={label}>
      <polygon points={`0,28 ${line} 100,28`} />
      <polyline points={line} />
    </svg>
  );
}
