// A button that opens the budgets of a key where they are seen. The drawer is a
// chunk of its own, which is loaded at the first click.
import type { ComponentChildren, ComponentType } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n";

export interface DrawerProps {
  id: string;
  onClose: () => void;
  onSaved?: () => void;
}

/** Without children the button has the words "Change budget". */
export function BudgetButton({ id, name, onSaved, quiet, children }: {
  id: string; // of the key
  name: string; // of the key, for a screen reader
  onSaved?: () => void;
  quiet?: boolean; // looks like its children
  children?: ComponentChildren;
}) {
  const [Drawer, setDrawer] = useState<ComponentType<DrawerProps> | null>(null);
  const [open, setOpen] = useState(false);
  const show = async () => {
    if (!Drawer) {
      const { BudgetDrawer } = await import("../pages/keys/drawer");
      setDrawer(() => BudgetDrawer);
    }
    setOpen(true);
  };
  return (
    <>
      <button type="button" class={quiet ? "budget-open" : "button small"} data-budget={id} aria-haspopup="dialog" title={t.keys.drawer.title(name)} onClick={show}>
        {children ?? t.keys.drawer.open}
      </button>
      {open && Drawer && <Drawer id={id} onClose={() => setOpen(false)} onSaved={onSaved} />}
    </>
  );
}
