// Values as elements: money, tokens, times, names, and what is done with them.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n";
import * as format from "../format";
import { Icon } from "./icon";

/** Money of nano-dollars; null shows "no price". The title has all digits. */
export function Money({ nano, short, most }: { nano: number | null | undefined; short?: boolean; most?: number }) {
  if (nano === null || nano === undefined) return <span class="muted">{t.common.noPrice}</span>;
  return <span class="tabular" title={"$" + (nano / 1e9).toFixed(9)}>{short ? format.moneyShort(nano) : format.money(nano, most)}</span>;
}

/** A count, shortened from 10,000 on; the title has it exactly. */
export function Count({ n }: { n: number }) {
  return <span class="tabular" title={format.integer(n)}>{format.compact(n)}</span>;
}
export const Tokens = Count;

/** A time of the API. */
export function Time({ at, only }: { at: string | null | undefined; only?: "clock" | "day" }) {
  if (!at) return <span class="muted">–</span>;
  const text = only === "clock" ? format.clock(at) : only === "day" ? format.day(at) : format.dateTime(at);
  return <time class="tabular" dateTime={at} title={format.fullTime(at)}>{text}</time>;
}

/** How long ago or in how long. */
export function Ago({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="muted">{t.common.never}</span>;
  return <time dateTime={at} title={format.fullTime(at)}>{format.relative(at)}</time>;
}

/** The hour in which a thing was last done. */
export function LastHour({ at }: { at: string | null | undefined }) {
  if (at && Date.now() - Date.parse(at) < 3_600_000) return <time dateTime={at} title={format.fullTime(at)}>{t.common.thisHour}</time>;
  return <Ago at={at} />;
}

export function Duration({ ms }: { ms: number | null | undefined }) {
  return ms === null || ms === undefined ? <span class="muted">–</span> : <span class="tabular">{format.duration(ms)}</span>;
}

/** A name that others chose (a key, a user, a model): it is text, it keeps its
 *  own direction, and empty ones show a dash. */
export function Name({ children, mono }: { children: string | null | undefined; mono?: boolean }) {
  return children ? <bdi dir="auto" class={mono ? "mono" : undefined}>{children}</bdi> : <span class="muted">–</span>;
}

export type Tone = "good" | "warn" | "bad" | "accent" | "";

export function Badge({ tone = "", dot, children }: { tone?: Tone; dot?: boolean; children: ComponentChildren }) {
  return <span class={`badge ${tone}${dot ? " dot" : ""}`}>{children}</span>;
}

/** A button that copies a text and says so. */
export function Copy({ text, label, small = true, primary }: { text: string; label?: string; small?: boolean; primary?: boolean }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await copyText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1600);
  };
  const shown = done ? t.common.copied : label;
  return (
    <button type="button" class={`button ${primary ? "primary" : ""} ${small ? "small" : ""} ${shown ? "" : "icon"} ${label ? "" : "quiet"}`} onClick={copy} aria-label={shown ?? t.common.copy} title={t.common.copy}>
      <Icon name={done ? "check" : "copy"} />
      {shown && <span aria-live="polite">{shown}</span>}
    </button>
  );
}

/** copyText also works on plain HTTP, where there is no clipboard API. */
export async function copyText(text: string) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).catch(() => copyBySelection(text));
  copyBySelection(text);
}
function copyBySelection(text: string) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A block of code with a button that copies it. */
export function Code({ text, label }: { text: string; label?: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={label ?? t.common.code}>{text}</pre>
      <Copy text={text} />
    </div>
  );
}
