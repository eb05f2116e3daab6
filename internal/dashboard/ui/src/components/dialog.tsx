// Dialogs. Both are native <dialog> elements: the browser keeps the focus
// inside, closes them with Escape and gives the focus back.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { t } from "../i18n";
import { Icon } from "./icon";
import { Failure } from "./states";
import type { ApiFailure } from "../api/client";

interface Props {
  title: ComponentChildren;
  onClose: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren; // at the foot of a dialog, in the head of a sheet
  wide?: boolean;
  /** Without it, a click beside the dialog closes it. */
  keep?: boolean;
}

/** A dialog in the middle of the page, for as long as it is rendered. */
export function Dialog(props: Props) {
  return <Modal {...props} kind="dialog" />;
}

/** A dialog at the side, over the list that its row is in. */
export function Sheet(props: Props) {
  return <Modal {...props} kind="sheet" />;
}

function Modal({ title, onClose, children, actions, wide, keep, kind }: Props & { kind: "dialog" | "sheet" }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={`${kind}${wide ? " wide" : ""}`}
      aria-labelledby={id}
      onCancel={(e) => {
        if (e.target !== ref.current) return;
        e.preventDefault();
        onClose();
      }}
      onMouseDown={(e) => !keep && e.target === ref.current && onClose()}
    >
      <div class="dialog-box">
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          {kind === "sheet" && actions}
          <button type="button" class="button quiet icon" onClick={onClose} aria-label={t.common.close} title={t.common.close}>
            <Icon name="close" />
          </button>
        </header>
        <div class="dialog-body">{children}</div>
        {kind === "dialog" && actions && <footer class="dialog-foot">{actions}</footer>}
      </div>
    </dialog>
  );
}

/** A question before something that cannot be undone. With word, the caller
 *  has to type it first. */
export function Confirm({ title, children, action, danger, word, busy, failure, onConfirm, onClose, typed, setTyped }: {
  title: string;
  children?: ComponentChildren;
  action: string; // text of the button
  danger?: boolean;
  word?: string;
  typed?: string; // with word: what has been typed, kept by the caller
  setTyped?: (text: string) => void;
  busy?: boolean;
  failure?: ApiFailure | null;
  onConfirm: () => void;
  onClose: () => void;
}) {
  const id = useId();
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <button type="button" class="button" onClick={onClose}>{t.common.cancel}</button>
          <button type="button" class={`button ${danger ? "danger" : "primary"}`} disabled={busy || (word !== undefined && typed !== word)} onClick={onConfirm}>{action}</button>
        </>
      }
    >
      {children}
      {word !== undefined && (
        <div class="field">
          <label for={id}>{t.common.typeToConfirm(word)}</label>
          <input id={id} autocomplete="off" spellcheck={false} value={typed} onInput={(e) => setTyped?.(e.currentTarget.value)} />
        </div>
      )}
      <Failure failure={failure ?? null} />
    </Dialog>
  );
}
