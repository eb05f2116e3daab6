// What is done with a key as a whole: rotate, revoke, hand over.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { del, post } from "../../api/client";
import { useAction } from "../../api/use";
import type { Handover, KeyView, NewKey } from "../../api/types";
import { Confirm, Dialog } from "../../components/dialog";
import { Field } from "../../components/field";
import { Failure } from "../../components/states";
import { keyPath } from "./save";
import { gatewayBase, HandoverLink, Secret } from "./secret";

/** A new secret for a key. It is shown once, in the dialog. */
export function RotateDialog({ of: k, onClose, own }: { of: Pick<KeyView, "id" | "name">; onClose: () => void; own?: boolean }) {
  const [grace, setGrace] = useState("24h");
  const [made, setMade] = useState<NewKey | null>(null);
  const rotate = useAction(() => post<NewKey>(keyPath(k.id) + "/rotate", { grace }));
  if (made?.secret) {
    const until = made.key.grace;
    return (
      <Dialog title={t.keys.result.rotated(k.name)} wide keep onClose={onClose} actions={<button type="button" class="button" onClick={onClose}>{t.keys.result.done}</button>}>
        <div class="grid">
          <p>{until && Date.parse(until) > Date.now() ? t.keys.result.grace(format.dateTime(until)) : t.keys.result.noGrace}</p>
          <Secret secret={made.secret} base={gatewayBase()} own={own} />
        </div>
      </Dialog>
    );
  }
  const submit = async (e: Event) => {
    e.preventDefault();
    const answer = await rotate.run();
    if (answer) setMade(answer);
  };
  return (
    <Dialog title={t.keys.page.rotateTitle(k.name)} onClose={onClose}>
      <form class="grid" onSubmit={submit}>
        <p>{t.keys.page.rotateHelp}</p>
        <Field label={t.keys.page.graceLabel}>
          <select value={grace} onChange={(e) => setGrace(e.currentTarget.value)}>
            {Object.entries(t.keys.page.graceChoice).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </Field>
        <Failure failure={rotate.failure} />
        <div class="row end">
          <button type="button" class="button" onClick={onClose}>{t.keys.form.cancel}</button>
          <button type="submit" class="button primary" disabled={rotate.busy}>{t.keys.page.rotate}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** The end of a key, after its name is typed. */
export function RevokeDialog({ of: k, onClose, onDone }: { of: KeyView; onClose: () => void; onDone: () => void }) {
  const [typed, setTyped] = useState("");
  const revoke = useAction(async () => {
    await del(keyPath(k.id));
    return true;
  });
  const confirm = async () => {
    if (await revoke.run()) onDone();
  };
  return (
    <Confirm title={t.keys.page.revokeTitle(k.name)} action={t.keys.page.revoke} danger word={k.name} typed={typed} setTyped={setTyped}
      busy={revoke.busy} failure={revoke.failure} onConfirm={confirm} onClose={onClose}>
      <p>{t.keys.page.revokeHelp}</p>
    </Confirm>
  );
}

/** A link by which the holder makes the secret. */
export function HandoverDialog({ of: k, onClose }: { of: KeyView; onClose: () => void }) {
  const [link, setLink] = useState<Handover | null>(null);
  const make = useAction(() => post<Handover>(keyPath(k.id) + "/handover", {}));
  const run = async () => {
    const answer = await make.run();
    if (answer) setLink(answer);
  };
  return (
    <Dialog title={t.keys.page.handoverTitle(k.name)} wide={link !== null} keep={link !== null} onClose={onClose}
      actions={
        link ? <button type="button" class="button" onClick={onClose}>{t.keys.result.done}</button> : (
          <>
            <button type="button" class="button" onClick={onClose}>{t.keys.form.cancel}</button>
            <button type="button" class="button primary" disabled={make.busy} onClick={run}>{t.keys.page.handoverMake}</button>
          </>
        )
      }>
      {link ? <HandoverLink handover={link} name={k.name} /> : <p>{t.keys.page.handoverHelp}</p>}
      <Failure failure={make.failure} />
    </Dialog>
  );
}
