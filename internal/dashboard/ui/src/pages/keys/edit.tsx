// The form that changes a key.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import type { KeyDetail } from "../../api/types";
import { changed, type Fields, merged } from "./changes";
import { ConflictDialog } from "./conflict";
import { KeyFields } from "./form";
import { none, problemsOf } from "./problems";
import { Refused } from "./refused";
import { useSave } from "./save";

export function EditKey({ of, onDone, onCancel }: { of: KeyDetail; onDone: (changed: KeyDetail) => void; onCancel: () => void }) {
  const [key] = useState(of); // as it was opened: its version goes into If-Match
  const [fields, setFields] = useState<Fields>(key.fields);
  const { save, busy, failure, conflict, drop } = useSave(onDone);
  const refused = failure !== null && failure.status < 409 && failure.status !== 404;
  const problems = refused ? problemsOf(failure.message, (name) => name in t.keys.fields) : none;
  const dirty = Object.keys(changed(key.fields, fields)).length > 0;
  return (
    <form class="grid" onSubmit={(e) => { e.preventDefault(); void save(key, fields); }}>
      <div class="page-head">
        <h1>{t.keys.form.edit(key.name)}</h1>
        <button type="button" class="button quiet" onClick={onCancel}>{t.keys.form.cancel}</button>
      </div>
      {!conflict && <Refused failure={failure} problems={refused ? problems : null} />}
      <KeyFields fields={fields} setFields={setFields} problems={problems} of={key}
        foot={
          <>
            <button class="button primary" type="submit" disabled={busy || !dirty}>{t.keys.form.save}</button>
            <button class="button" type="button" onClick={onCancel}>{t.keys.form.cancel}</button>
            {!dirty && <span class="muted small-text">{t.keys.form.nothing}</span>}
          </>
        } />
      {conflict && (
        <ConflictDialog conflict={conflict} busy={busy} failure={failure} onClose={drop} onTheirs={() => onDone(conflict.theirs)}
          onMine={() => void save(conflict.theirs, merged(conflict.opened.fields, conflict.theirs.fields, conflict.mine))} />
      )}
    </form>
  );
}
