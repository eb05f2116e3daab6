// The budgets of a key in a sheet at the side: how they stand, new amounts, and
// when a limit would have stopped the key.
import { useEffect, useState } from "preact/hooks";
import { t } from "../../i18n";
import { useApi } from "../../api/use";
import type { KeyDetail } from "../../api/types";
import { Budget } from "../../components/bar";
import type { DrawerProps } from "../../components/budget-button";
import { Sheet } from "../../components/dialog";
import { Loaded, Notice } from "../../components/states";
import { session } from "../../session";
import { merged } from "./changes";
import { ConflictDialog } from "./conflict";
import { BudgetsField } from "./editor";
import { problemsOf } from "./problems";
import { Refused } from "./refused";
import { keyPath, useSave } from "./save";
import { TimeTravel } from "./travel";
import "../../styles/parts.css";
import "./keys.css";

export function BudgetDrawer({ id, onClose, onSaved }: DrawerProps) {
  const answer = useApi<KeyDetail>(keyPath(id));
  const key = answer.data;
  const [text, setText] = useState<string | null>(null);
  const saved = () => {
    onSaved?.();
    onClose();
  };
  const { save, busy, failure, conflict, drop } = useSave(saved);
  const value = text ?? key?.fields.budget ?? "";
  const declared = key?.origin === "settings";
  const problems = failure ? problemsOf(failure.message, (name) => name in t.keys.fields) : null;
  const submit = (e: Event) => {
    e.preventDefault();
    if (key) void save(key, { ...key.fields, budget: value });
  };
  // The first field has the focus when the sheet has its data.
  useEffect(() => {
    if (key) document.querySelector<HTMLInputElement>("dialog .budgets-field input.amount")?.focus();
  }, [key !== null]);
  const theirs = (again: KeyDetail) => {
    setText(again.fields.budget ?? "");
    drop();
    answer.reload();
  };
  return (
    <Sheet title={key ? t.keys.drawer.title(key.name) : t.keys.page.budgets} onClose={onClose}>
      <Loaded answer={answer}>
        {(k) => {
          const own = k.budgets.filter((b) => b.tag === "");
          const ofTags = k.budgets.filter((b) => b.tag !== "");
          return (
            <form class="grid" onSubmit={submit} data-drawer={k.id}>
              {own.length === 0 && <p class="muted">{t.keys.drawer.none}</p>}
              {own.map((b) => <Budget key={b.budget} budget={b} />)}
              {declared ? <Notice>{t.keys.drawer.declared}</Notice> : (
                <>
                  <BudgetsField value={value} onChange={setText} problem={problems?.fields.budget} />
                  <Refused failure={failure} problems={problems} />
                  <div class="form-foot">
                    <button class="button primary" type="submit" disabled={busy || value === (k.fields.budget ?? "")}>{t.keys.drawer.save}</button>
                    <button class="button" type="button" onClick={onClose}>{t.keys.form.cancel}</button>
                  </div>
                </>
              )}
              {ofTags.length > 0 && (
                <section class="grid tight">
                  <h3>{t.keys.drawer.ofTags}</h3>
                  {ofTags.map((b) => <Budget key={b.tag + b.budget} budget={b} />)}
                  <p class="muted small-text">{t.keys.drawer.ofTagsHelp}</p>
                </section>
              )}
              {session.value?.features.ledger && <TimeTravel of={k} use={declared ? undefined : (budget) => setText(budget(value))} />}
            </form>
          );
        }}
      </Loaded>
      {conflict && (
        <ConflictDialog conflict={conflict} busy={busy} failure={failure} onClose={drop} onTheirs={() => theirs(conflict.theirs)}
          onMine={() => void save(conflict.theirs, merged(conflict.opened.fields, conflict.theirs.fields, conflict.mine))} />
      )}
    </Sheet>
  );
}
