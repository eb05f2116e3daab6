// Numbers, money and times as text, in the language of the page. Times are those
// of the ledger's zone: an RFC 3339 text of the API has the digits of that zone
// already, which are shown as they are, whatever zone the browser is in.
import { language, t } from "./i18n";
import { session } from "./session";

const made = new Map<string, Intl.NumberFormat>();
function number(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = language.value + JSON.stringify(options);
  let format = made.get(key);
  if (!format) made.set(key, (format = new Intl.NumberFormat(language.value, options)));
  return format;
}

/** 1234567 -> 1,234,567 */
export const integer = (n: number) => number({ maximumFractionDigits: 0 }).format(n);
/** 1234567 -> 1.2M; small numbers are exact. */
export const compact = (n: number) => (Math.abs(n) < 10_000 ? integer(n) : number({ notation: "compact", maximumFractionDigits: 1 }).format(n));
/** 0.123 -> 12.3% */
export const percent = (part: number, digits = 1) => number({ style: "percent", maximumFractionDigits: digits }).format(Number.isFinite(part) ? part : 0);

/** Whole nano-dollars as dollars. Small amounts keep three digits that count,
 *  within `most` decimals; null is an amount that is unknown. */
export function money(nano: number | null | undefined, most = 9): string {
  if (nano === null || nano === undefined) return t.common.noPrice;
  const usd = nano / 1e9;
  const size = Math.abs(usd);
  const digits = size === 0 || size >= 0.995 ? 2 : Math.max(2, Math.min(most, 2 - Math.floor(Math.log10(size))));
  return number({ style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: 2, maximumFractionDigits: digits }).format(usd);
}

/** Money for a narrow place: four decimals at most, "<$0.0001" below them. */
export function moneyShort(nano: number): string {
  const least = 100_000;
  if (nano > 0 && nano < least) return "<" + money(least);
  return Math.abs(nano) < 10_000e9 ? money(nano, 4) : moneyCompact(nano);
}

/** Money for an axis or a figure: $1.2K. */
export function moneyCompact(nano: number): string {
  const usd = nano / 1e9;
  if (Math.abs(usd) < 10_000) return money(nano);
  return number({ style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", notation: "compact", maximumFractionDigits: 1 }).format(usd);
}

/** 350 -> 350ms, 12300 -> 12.3s, 200000 -> 3m 20s */
export function duration(ms: number): string {
  if (ms < 1000) return number({ style: "unit", unit: "millisecond", unitDisplay: "narrow", maximumFractionDigits: 0 }).format(ms);
  if (ms < 60_000) return number({ style: "unit", unit: "second", unitDisplay: "narrow", maximumFractionDigits: ms < 10_000 ? 2 : 1 }).format(ms / 1000);
  const parts: string[] = [];
  let seconds = Math.round(ms / 1000);
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]] as const) {
    const n = Math.floor(seconds / size);
    seconds -= n * size;
    if (n && parts.length < 2) parts.push(number({ style: "unit", unit, unitDisplay: "narrow" }).format(n));
  }
  return parts.join(" ");
}

/** 12345 -> 12.3 kB */
export function bytes(n: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return number({ style: "unit", unit: units[i]!, unitDisplay: i ? "short" : "long", maximumFractionDigits: 1 }).format(n);
}

// wall reads the digits of an RFC 3339 text as if they were UTC.
function wall(text: string): Date {
  return new Date(text.length === 10 ? text + "T00:00:00Z" : text.replace(/(Z|[+-]\d\d:\d\d)$/, "Z"));
}

const dates = new Map<string, Intl.DateTimeFormat>();
function format(text: string, options: Intl.DateTimeFormatOptions): string {
  // Rows have their times in UTC; where that is not the ledger's zone, they are
  // converted.
  const zone = text.endsWith("Z") ? knownZone() : "UTC";
  const at = zone === "UTC" ? wall(text) : new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const key = language.value + zone + JSON.stringify(options);
  let f = dates.get(key);
  if (!f) dates.set(key, (f = new Intl.DateTimeFormat(language.value, { ...options, timeZone: zone, hourCycle: "h23" })));
  return f.format(at);
}

// knownZone is the ledger's zone as browsers know it. undefined is the zone of
// the system, for a zone without a name.
function knownZone(): string | undefined {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zoneName() }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** Dec 1, 14:03:22; with the year where it is another one. */
export function dateTime(text: string): string {
  const year = text.slice(0, 4) === today().slice(0, 4) ? undefined : ("numeric" as const);
  return format(text, { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
/** Tuesday, December 1, 2026, 14:03:22.123 with the zone: for a title. */
export function fullTime(text: string): string {
  return format(text, { dateStyle: "full", timeStyle: "medium" }) + " " + zoneName();
}
/** 14:03:22 */
export const clock = (text: string) => format(text, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
/** 14:03 */
export const hour = (text: string) => format(text, { hour: "2-digit", minute: "2-digit" });
/** Dec 1 */
export const day = (text: string) => format(text, { month: "short", day: "numeric" });
/** December 2026 */
export const month = (text: string) => format(text, { month: "long", year: "numeric" });
/** December */
export const monthName = (text: string) => format(text, { month: "long" });

/** The zone of all days and times. */
export function zoneName(): string {
  return session.value?.zone || "UTC";
}

/** 3 min ago, in 2 h */
export function relative(text: string, now = Date.now()): string {
  const seconds = (new Date(text).getTime() - now) / 1000;
  const f = new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]] as const) {
    if (Math.abs(seconds) >= size) return f.format(Math.trunc(seconds / size), unit);
  }
  return f.format(Math.trunc(seconds), "second");
}

/** Today in the ledger's zone, as 2026-12-01. */
export function today(): string {
  return dayOf(new Date());
}

/** The day of an instant in the ledger's zone. */
export function dayOf(at: Date): string {
  const options: Intl.DateTimeFormatOptions = { year: "numeric", month: "2-digit", day: "2-digit" };
  try {
    return new Intl.DateTimeFormat("en-CA", { ...options, timeZone: zoneName() }).format(at);
  } catch {
    return new Intl.DateTimeFormat("en-CA", options).format(at); // the zone is the system's own
  }
}

/** addDays("2026-12-01", -6) -> 2026-11-25 */
export function addDays(day: string, n: number): string {
  const at = new Date(day + "T00:00:00Z");
  at.setUTCDate(at.getUTCDate() + n);
  return at.toISOString().slice(0, 10);
}

/** An amount of a budget: nano-dollars or tokens. */
export function budgetAmount(n: number, unit: "usd" | "tokens" | string): string {
  return unit === "usd" ? money(n) : compact(n);
}
