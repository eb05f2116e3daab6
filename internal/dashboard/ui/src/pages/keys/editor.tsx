// Controls of a key's settings. Each of them reads and writes one text, as the
// API and `forward keys` take it.
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { Field } from "../../components/field";
import { Icon } from "../../components/icon";
import { type Budget, budgetsText, limitOf, parseBudgets, periods, sameBudget } from "./budgets";
import { allows, items, toggled } from "./patterns";

export interface Control {
  name: string;
  value: string;
  onChange: (text: string) => void;
  problem?: string;
}

export function label(name: string): string {
  return t.keys.fields[name]?.[0] ?? name;
}
export function hint(name: string): string | undefined {
  return t.keys.fields[name]?.[1];
}

/** A text of one line. */
export function TextField({ name, value, onChange, problem, required, placeholder, focus }: Control & { required?: boolean; placeholder?: string; focus?: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (focus) input.current?.focus();
  }, []);
  return (
    <Field label={label(name)} hint={hint(name)} problem={problem}>
      <input ref={input} name={name} value={value} required={required} placeholder={placeholder} autocomplete="off" spellcheck={false} maxLength={4096}
        onInput={(e) => onChange(e.currentTarget.value)} />
    </Field>
  );
}

/** A whole number; empty is no limit. */
export function NumberField({ name, value, onChange, problem, min = 0 }: Control & { min?: number }) {
  return (
    <Field label={label(name)} hint={hint(name)} problem={problem}>
      <input name={name} type="number" inputMode="numeric" min={min} step={1} value={value} placeholder={min < 0 ? "0" : t.keys.form.unlimited}
        onInput={(e) => onChange(e.currentTarget.value)} />
    </Field>
  );
}

/** A choice of words; "" is the gateway's default. */
export function ChoiceField({ name, value, onChange, problem, words, help }: Control & { words: readonly string[]; help?: Record<string, string> }) {
  return (
    <Field label={label(name)} hint={help?.[value] ?? hint(name)} problem={problem}>
      <select name={name} value={value} onChange={(e) => onChange(e.currentTarget.value)}>
        <option value="">{t.keys.form.default}</option>
        {words.map((word) => <option key={word} value={word}>{t.keys.form.words[word] ?? word}</option>)}
        {value !== "" && !words.includes(value) && <option value={value}>{value}</option>}
      </select>
    </Field>
  );
}

const presets = ["30d", "90d", "365d", "never"] as const;

/** When the key ends. now is the text that the key has, and until what it means. */
export function ExpiryField({ name, value, onChange, problem, now, until }: Control & { now?: string; until?: string | null }) {
  const kept = now !== undefined && value === now;
  const preset = (presets as readonly string[]).includes(value || "never");
  const [dated, setDated] = useState(!kept && !preset);
  const choice = dated ? "date" : kept ? "now" : value || "never";
  const choose = (next: string) => {
    setDated(next === "date");
    if (next === "now") onChange(now ?? "");
    else if (next === "never") onChange("");
    else if (next !== "date") onChange(next);
    else onChange(format.addDays(format.today(), 90));
  };
  const help = choice === "date" ? t.keys.form.endOfDay : choice === "never" ? t.keys.form.expiryNever : undefined;
  return (
    <Field label={label(name)} hint={help} problem={problem}>
      <Expiry choice={choice} choose={choose} value={value} onChange={onChange} until={now !== undefined ? until : undefined} />
    </Field>
  );
}

function Expiry({ choice, choose, value, onChange, until, ...rest }: {
  choice: string;
  choose: (choice: string) => void;
  value: string;
  onChange: (text: string) => void;
  until?: string | null;
  [aria: string]: unknown;
}) {
  return (
    <div class="row nowrap">
      <select {...rest} name="expires" value={choice} onChange={(e) => choose(e.currentTarget.value)}>
        {until !== undefined && <option value="now">{t.keys.form.keepExpiry(until ? format.dateTime(until) : t.keys.never)}</option>}
        {presets.map((p) => <option key={p} value={p}>{t.keys.form.expiry[p]}</option>)}
        <option value="date">{t.keys.form.expiry.date}</option>
      </select>
      {choice === "date" && (
        <input type="date" aria-label={label("expires")} required min={format.today()} value={value.slice(0, 10)} onInput={(e) => onChange(e.currentTarget.value)} />
      )}
    </div>
  );
}

/** A list of patterns, with what it allows of the known things. */
export function PatternField({ name, value, onChange, problem, things, empty }: Control & {
  things: readonly { name: string; also?: string }[]; // also: a second name, such as a route's prefix
  empty: (n: number) => string;
}) {
  const patterns = useMemo(() => items(value), [value]);
  const allowed = useMemo(() => things.filter((x) => allows(patterns, x.name, ...(x.also ? [x.also] : []))), [patterns, things]);
  const unmatched = patterns.filter((p) => {
    const one = p.replace(/^!/, "");
    return one !== "" && !things.some((x) => allows([one], x.name, ...(x.also ? [x.also] : [])));
  });
  const set = new Set(allowed);
  const known = things.length > 0;
  return (
    <div class="grid tight">
      <TextField name={name} value={value} onChange={onChange} problem={problem} placeholder={name === "models" ? "gpt-*, claude-*" : "/v1"} />
      {known && (
        <div class="matches" aria-live="polite">
          <p class="small-text muted">
            {patterns.length === 0 ? empty(things.length) : allowed.length === 0 ? <span class="warn">{t.keys.form.matchesNone}</span> : t.keys.form.matches(allowed.length, things.length)}
            {unmatched.map((p) => <span key={p} class="warn"> · {t.keys.form.unmatched(p)}</span>)}
          </p>
          <div class="picks" role="group" aria-label={t.keys.form.pick}>
            {things.map((x) => (
              <button key={x.name} type="button" class="pick" aria-pressed={patterns.length > 0 && set.has(x)} title={t.keys.form.pick}
                onClick={() => onChange(toggled(patterns, x.name).join(","))}>
                <bdi dir="auto">{x.name}</bdi>
              </button>
            ))}
          </div>
        </div>
      )}
    </div>
  );
}

/** The budgets of a key: amount, unit and period of each. */
export function BudgetsField({ value, onChange, problem }: { value: string; onChange: (text: string) => void; problem?: string }) {
  const [rows, setRows] = useState<Budget[]>(() => orFirst(parseBudgets(value)));
  const [written, setWritten] = useState(value);
  // The text is changed elsewhere too: by the time travel, or by a saved key.
  if (value !== written) {
    setWritten(value);
    setRows(orFirst(parseBudgets(value)));
  }
  const change = (next: Budget[]) => {
    setRows(next);
    const text = budgetsText(next);
    setWritten(text);
    onChange(text);
  };
  const edit = (i: number, part: Partial<Budget>) => change(rows.map((b, j) => (j === i ? { ...b, ...part } : b)));
  return (
    <fieldset class="budgets-field">
      <legend>{label("budget")}</legend>
      {rows.map((b, i) => (
        <BudgetRow key={i} budget={b} doubled={rows.some((o, j) => j < i && o.amount !== "" && sameBudget(o, b))}
          onChange={(part) => edit(i, part)} onRemove={rows.length > 1 || b.amount !== "" ? () => change(orFirst(rows.filter((_, j) => j !== i))) : undefined} />
      ))}
      <div>
        <button type="button" class="button quiet small" onClick={() => setRows([...rows, { ...first, period: rows.some((b) => b.period === "month") ? "day" : "month" }])}>
          <Icon name="plus" />{t.keys.form.addBudget}
        </button>
      </div>
      {problem && <div class="problem" role="alert"><bdi dir="auto" lang="en">{problem}</bdi></div>}
    </fieldset>
  );
}

const first: Budget = { amount: "", unit: "usd", period: "month", zone: "" };
function orFirst(list: Budget[]): Budget[] {
  return list.length > 0 ? list : [{ ...first }];
}

function BudgetRow({ budget, doubled, onChange, onRemove }: {
  budget: Budget;
  doubled: boolean;
  onChange: (part: Partial<Budget>) => void;
  onRemove?: () => void;
}) {
  const id = useId();
  const wrong = budget.amount !== "" && Number.isNaN(limitOf(budget)) ? t.keys.form.wrongBudget : doubled && budget.amount !== "" ? t.keys.form.sameBudget : "";
  return (
    <div class="budget-row">
      <div class="row nowrap">
        <input class="amount num" inputMode="decimal" aria-label={t.keys.form.amount} placeholder={t.keys.noBudget} autocomplete="off" value={budget.amount}
          aria-invalid={wrong ? true : undefined} aria-describedby={wrong ? id : undefined} ref={validity(wrong)} onInput={(e) => onChange({ amount: e.currentTarget.value })} />
        <select aria-label={t.keys.form.unit} value={budget.unit} onChange={(e) => onChange({ unit: e.currentTarget.value as Budget["unit"] })}>
          <option value="usd">{t.keys.unit.usd}</option>
          <option value="tokens">{t.keys.unit.tokens}</option>
        </select>
        <select aria-label={t.keys.form.period} value={budget.period} onChange={(e) => onChange({ period: e.currentTarget.value })}>
          {periods.map((p) => <option key={p} value={p}>{t.keys.period[p]}</option>)}
        </select>
        {budget.zone && <span class="badge"><bdi dir="auto">{budget.zone}</bdi></span>}
        {onRemove && (
          <button type="button" class="button quiet icon" aria-label={t.keys.form.removeBudget} title={t.keys.form.removeBudget} onClick={onRemove}>
            <Icon name="close" />
          </button>
        )}
      </div>
      {wrong && <div class="problem small-text bad" id={id}>{wrong}</div>}
    </div>
  );
}

// validity keeps a form from being sent while a control is wrong.
function validity(wrong: string) {
  return (input: HTMLInputElement | null) => input?.setCustomValidity(wrong);
}
