// Changes of many keys at once.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { post } from "../../api/client";
import { useAction } from "../../api/use";
import type { KeyDetail } from "../../api/types";
import { Dialog } from "../../components/dialog";
import { Failure, Notice } from "../../components/states";
import { Name } from "../../components/values";
import { ExpiryField } from "./editor";

interface Outcome {
  changed: number;
  failed: { id: string; message: string }[];
}

const most = 1000; // keys that the API changes at once

/** The bar that stands below a selection. */
export function Bulk({ keys, clear, reload }: { keys: KeyDetail[]; clear: () => void; reload: () => void }) {
  const [asking, setAsking] = useState<"disable" | "expiry" | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const managed = keys.filter((k) => k.origin === "managed");
  const close = () => {
    setAsking(null);
    if (outcome) clear();
    setOutcome(null);
  };
  return (
    <div class="bulk-bar" role="region" aria-label={t.keys.select}>
      <b>{t.keys.selected(keys.length)}</b>
      <button type="button" class="button small" disabled={managed.length === 0} onClick={() => setAsking("disable")}>{t.keys.bulkDisable}</button>
      <button type="button" class="button small" disabled={managed.length === 0} onClick={() => setAsking("expiry")}>{t.keys.bulkExpiry}</button>
      <button type="button" class="button quiet small" onClick={clear}>{t.keys.bulkClear}</button>
      {asking && (
        <BulkDialog what={asking} keys={managed} others={keys.length - managed.length} outcome={outcome} onClose={close}
          onDone={(o) => {
            setOutcome(o);
            reload();
          }} />
      )}
    </div>
  );
}

function BulkDialog({ what, keys, others, outcome, onDone, onClose }: {
  what: "disable" | "expiry";
  keys: KeyDetail[];
  others: number;
  outcome: Outcome | null;
  onDone: (outcome: Outcome) => void;
  onClose: () => void;
}) {
  const [expires, setExpires] = useState("90d");
  const send = useAction(async () => {
    const ids = keys.map((k) => k.id);
    const whole: Outcome = { changed: 0, failed: [] };
    for (let i = 0; i < ids.length; i += most) {
      const part = await post<Outcome>("/keys/bulk", { ids: ids.slice(i, i + most), ...(what === "disable" ? { disabled: true } : { expires }) });
      whole.changed += part.changed;
      whole.failed.push(...part.failed);
    }
    return whole;
  });
  const confirm = async () => {
    const answer = await send.run();
    if (answer) onDone(answer);
  };
  const names = new Map(keys.map((k) => [k.id, k.name]));
  const title = what === "disable" ? t.keys.bulkDisable : t.keys.bulkExpiry;
  const actions = outcome ? (
    <button type="button" class="button primary" onClick={onClose}>{t.keys.result.done}</button>
  ) : (
    <>
      <button type="button" class="button" onClick={onClose}>{t.keys.form.cancel}</button>
      <button type="button" class={`button ${what === "disable" ? "danger" : "primary"}`} disabled={send.busy} onClick={confirm}>{title}</button>
    </>
  );
  return (
    <Dialog title={title} onClose={onClose} actions={actions} keep={outcome !== null}>
      {outcome ? (
        <div class="grid tight">
          <Notice tone={outcome.failed.length ? "warn" : "good"}>{t.keys.bulkDone(outcome.changed)}</Notice>
          {outcome.failed.length > 0 && (
            <>
              <p>{t.keys.bulkFailed(outcome.failed.length)}</p>
              <ul class="plain-list small-text">
                {outcome.failed.map((f) => <li key={f.id}><Name>{names.get(f.id) ?? f.id}</Name>: <bdi dir="auto" lang="en">{f.message}</bdi></li>)}
              </ul>
            </>
          )}
        </div>
      ) : (
        <div class="grid tight">
          <p>{what === "disable" ? t.keys.bulkDisableAsk(keys.length) : t.keys.bulkExpiryAsk(keys.length)}</p>
          {others > 0 && <p class="muted">{t.keys.bulkSettings(others)}</p>}
          {what === "expiry" && <ExpiryField name="expires" value={expires} onChange={setExpires} />}
          <Failure failure={send.failure} />
        </div>
      )}
    </Dialog>
  );
}
