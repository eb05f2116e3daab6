// A budget as a key has it: 20usd/month, 500ktokens/day, 2mtokens/total@Europe/Berlin.
export interface Budget {
  amount: string; // a decimal number of dollars, or of tokens with k, m or g behind it
  unit: "usd" | "tokens";
  period: string; // day, week, month or total
  zone: string; // "": the gateway's
}

export const periods = ["day", "week", "month", "total"] as const;

// parseBudget reads a budget as the gateway writes it, or as a person types it.
export function parseBudget(text: string): Budget | null {
  const [body, ...zone] = text.trim().split("@");
  const found = /^(?:\$([\d.]+)|([\d.]+)usd|([\d.]+[kmg]?)tokens?)(?:\/(day|week|month|total))?$/i.exec(
    (body ?? "").replaceAll(" ", "").toLowerCase(),
  );
  if (!found) return null;
  const [, dollars, usd, tokens, period] = found;
  return {
    amount: dollars ?? usd ?? tokens ?? "",
    unit: tokens === undefined ? "usd" : "tokens",
    period: period ?? "total",
    zone: zone.join("@"),
  };
}

export function budgetText(b: Budget): string {
  const amount = b.amount.trim().toLowerCase();
  return amount + b.unit + "/" + b.period + (b.zone ? "@" + b.zone : "");
}

// parseBudgets reads the setting budget of a key. A part that is not a budget
// is left out, so the setting's text has to be kept for it.
export function parseBudgets(text: string): Budget[] {
  return text
    .split(",")
    .map(parseBudget)
    .filter((b) => b !== null);
}

// budgetsText writes the setting budget; one without an amount is left out.
export function budgetsText(list: Budget[]): string {
  return list
    .filter((b) => b.amount.trim() !== "")
    .map(budgetText)
    .join(",");
}

// sameBudget reports whether two budgets count the same: a key has one of a
// unit, period and zone.
export function sameBudget(a: Budget, b: Budget): boolean {
  return a.unit === b.unit && a.period === b.period && a.zone === b.zone;
}

const nano = 1_000_000_000;
const scale: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9 };

// limitOf returns a budget's limit as the API counts it: nano-dollars or
// tokens; NaN where the amount is not a number above 0.
export function limitOf(b: Budget): number {
  const found = /^(\d+(?:\.\d*)?|\.\d+)([kmg]?)$/.exec(b.amount.trim().toLowerCase());
  if (!found || (b.unit === "usd" && found[2])) return Number.NaN;
  const n = Math.round(Number(found[1]) * (b.unit === "usd" ? nano : (scale[found[2] ?? ""] ?? 1)));
  return n > 0 ? n : Number.NaN;
}

// amountOf writes a limit of the API as an amount: 20, 0.5 or 500k.
export function amountOf(limit: number, unit: "usd" | "tokens"): string {
  if (unit === "usd") {
    const text = (limit / nano).toFixed(9);
    return text.replace(/\.?0+$/, "");
  }
  for (const [letter, n] of [["m", 1e6] as const, ["k", 1e3] as const]) {
    if (limit >= n && limit % n === 0) return limit / n + letter;
  }
  return String(limit);
}

// share returns how much of a limit is used, from 0 to 1.
export function share(used: number, limit: number): number {
  if (!(limit > 0)) return used > 0 ? 1 : 0;
  return Math.min(1, Math.max(0, used / limit));
}

// steps are the limits that a slider offers: from a tenth of the largest spend
// to twice the largest of limit and spend, about even in ratio, in round numbers.
export function steps(spends: number[], limit: number, unit: "usd" | "tokens"): number[] {
  const most = Math.max(limit, ...spends, unit === "usd" ? nano : 1000);
  const positive = spends.filter((n) => n > 0);
  const least = Math.min(limit > 0 ? limit : most, ...positive) / 10;
  const found = new Set<number>(limit > 0 ? [limit] : []);
  for (let n = least; n <= most * 2; n *= 1.04) found.add(round(n, unit));
  return [...found].sort((a, b) => a - b);
}

// round keeps two digits, and cents and whole tokens at most.
function round(n: number, unit: "usd" | "tokens"): number {
  const least = unit === "usd" ? nano / 100 : 1;
  const digit = Math.max(least, 10 ** (Math.floor(Math.log10(Math.max(n, least))) - 1));
  return Math.max(least, Math.round(n / digit) * digit);
}
