// A field of a form: label, control, hint and problem belong together.
import { cloneElement, type ComponentChildren, type VNode } from "preact";
import { useId } from "preact/hooks";

/** The only child is the control; it gets the id and the descriptions. */
export function Field({ label, hint, problem, children }: { label: ComponentChildren; hint?: ComponentChildren; problem?: ComponentChildren; children: VNode<any> }) {
  const id = useId();
  const described = [hint && id + "-hint", problem && id + "-problem"].filter(Boolean).join(" ") || undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {cloneElement(children, { id, "aria-describedby": described, "aria-invalid": problem ? true : undefined })}
      {hint && <div class="hint" id={id + "-hint"}>{hint}</div>}
      {problem && <div class="problem" id={id + "-problem"} role="alert">{problem}</div>}
    </div>
  );
}

/** A box to tick, with its text. */
export function Check({ checked, onChange, children }: { checked: boolean; onChange: (on: boolean) => void; children: ComponentChildren }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(e) => onChange(e.currentTarget.checked)} />
      <span>{children}</span>
    </label>
  );
}

/** A list to choose from, with a label that only screen readers read, unless
 *  visible is set. */
export function Select<T extends string>({ label, value, options, onChange, visible }: {
  label: string;
  value: T;
  options: readonly { value: T; text: string }[];
  onChange: (value: T) => void;
  visible?: boolean;
}) {
  const id = useId();
  return (
    <span class="select">
      <label for={id} class={visible ? "muted small-text" : "hidden"}>{label}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.currentTarget.value as T)}>
        {options.map((o) => <option key={o.value} value={o.value}>{o.text}</option>)}
      </select>
    </span>
  );
}
