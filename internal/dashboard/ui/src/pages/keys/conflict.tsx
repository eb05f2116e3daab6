// Two administrators changed one key: what each of them has, side by side.
import { t } from "../../i18n";
import { Dialog } from "../../components/dialog";
import { Failure, Notice } from "../../components/states";
import type { ApiFailure } from "../../api/client";
import { differences } from "./changes";
import { label } from "./editor";
import type { Conflict } from "./save";

export function ConflictDialog({ conflict, busy, failure, onMine, onTheirs, onClose }: {
  conflict: Conflict;
  busy: boolean;
  failure: ApiFailure | null;
  onMine: () => void; // save mine over theirs
  onTheirs: () => void; // drop mine
  onClose: () => void; // back to the form
}) {
  const { opened, theirs, mine } = conflict;
  const list = differences(opened.fields, theirs.fields, mine);
  const state = opened.state !== theirs.state;
  const text = (value: string) => (value === "" ? <span class="muted">{t.keys.conflict.empty}</span> : <bdi dir="auto">{value}</bdi>);
  return (
    <Dialog title={t.keys.conflict.title} wide keep onClose={onClose}
      actions={
        <>
          <button type="button" class="button" onClick={onTheirs}>{t.keys.conflict.takeTheirs}</button>
          <button type="button" class="button primary" disabled={busy} onClick={onMine}>{t.keys.conflict.takeMine}</button>
        </>
      }>
      <div class="grid tight" data-conflict>
        <Notice tone="warn">{t.keys.conflict.help}</Notice>
        <div class="table-box" tabIndex={0} role="region" aria-label={t.keys.conflict.title}>
          <table class="table conflict">
            <thead>
              <tr>
                <th scope="col">{t.keys.conflict.setting}</th>
                <th scope="col">{t.keys.conflict.opened}</th>
                <th scope="col">{t.keys.conflict.theirs}</th>
                <th scope="col">{t.keys.conflict.mine}</th>
              </tr>
            </thead>
            <tbody>
              {list.map((d) => (
                <tr key={d.name} class={d.both ? "both" : undefined}>
                  <th scope="row">{label(d.name)}{d.both && <div class="small-text warn">{t.keys.conflict.both}</div>}</th>
                  <td>{text(d.opened)}</td>
                  <td class={d.theirs !== d.opened ? "changed" : undefined}>{text(d.theirs)}</td>
                  <td class={d.mine !== d.opened ? "changed" : undefined}>{text(d.mine)}</td>
                </tr>
              ))}
              {state && (
                <tr>
                  <th scope="row">{t.keys.filterState}</th>
                  <td>{t.keys.state[opened.state] ?? opened.state}</td>
                  <td class="changed">{t.keys.state[theirs.state] ?? theirs.state}</td>
                  <td>–</td>
                </tr>
              )}
            </tbody>
          </table>
        </div>
        <Failure failure={failure} />
      </div>
    </Dialog>
  );
}
