// Tabs whose choice the caller keeps, usually in the query of the place.
import { useId } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { t } from "../i18n";
import { Icon } from "./icon";

export function Tabs<T extends string>({ label, tabs, value, onChange, children }: {
  label: string;
  tabs: readonly { value: T; text: ComponentChildren }[];
  value: T;
  onChange: (value: T) => void;
  children?: ComponentChildren; // the panel of the chosen tab
}) {
  const id = useId();
  const move = (e: KeyboardEvent) => {
    const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    e.preventDefault();
    const at = tabs.findIndex((tab) => tab.value === value);
    const next = tabs[(at + step + tabs.length) % tabs.length]!;
    onChange(next.value);
    document.getElementById(`${id}-${next.value}`)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
        {tabs.map((tab) => (
          <button key={tab.value} type="button" role="tab" id={`${id}-${tab.value}`} aria-selected={tab.value === value} aria-controls={children ? id + "-panel" : undefined}
            tabIndex={tab.value === value ? 0 : -1} onClick={() => onChange(tab.value)}>
            {tab.text}
          </button>
        ))}
      </div>
      {children && <div role="tabpanel" id={id + "-panel"} aria-labelledby={`${id}-${value}`} class="grid">{children}</div>}
    </>
  );
}

/** A choice of a few, as buttons that touch. */
export function Segments<T extends string>({ label, options, value, onChange }: {
  label: string;
  options: readonly { value: T; text: ComponentChildren }[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map((o) => (
        <button key={o.value} type="button" aria-pressed={o.value === value} onClick={() => onChange(o.value)}>{o.text}</button>
      ))}
    </div>
  );
}

/** Older and newer pages of a keyset, or pages of an offset. A missing handler
 *  disables its button. */
export function Pager({ previous, next, text }: { previous?: () => void; next?: () => void; text?: ComponentChildren }) {
  if (!previous && !next && !text) return null;
  return (
    <nav class="pager" aria-label={t.common.pages}>
      <button type="button" class="button small" disabled={!previous} onClick={previous}><Icon name="left" />{t.common.newer}</button>
      {text && <span class="muted small-text">{text}</span>}
      <button type="button" class="button small" disabled={!next} onClick={next}>{t.common.older}<Icon name="right" /></button>
    </nav>
  );
}
