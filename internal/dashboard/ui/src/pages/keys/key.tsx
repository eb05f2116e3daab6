// The page of one key.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { patch } from "../../api/client";
import { useAction, useApi } from "../../api/use";
import type { KeyDetail } from "../../api/types";
import { href } from "../../router";
import { session } from "../../session";
import type { PageProps } from "..";
import { Budget } from "../../components/bar";
import { BudgetButton } from "../../components/budget-button";
import { Confirm } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Empty, Failure, Notice, Skeleton } from "../../components/states";
import { Ago, Badge, Copy, LastHour, Name, Time } from "../../components/values";
import { HandoverDialog, RevokeDialog, RotateDialog } from "./actions";
import { EditKey } from "./edit";
import { KeyAudit, KeyErrors, KeyUse } from "./history";
import { StateBadge } from "./state";
import { keyPath } from "./save";
import "../../styles/parts.css";
import "./keys.css";

type Doing = "edit" | "disable" | "rotate" | "revoke" | "handover" | null;

export default function KeyPage({ params }: PageProps) {
  return <Shown key={params.key} id={params.key ?? ""} />;
}

function Shown({ id }: { id: string }) {
  const answer = useApi<KeyDetail>(keyPath(id));
  const [doing, setDoing] = useState<Doing>(null);
  const [changes, setChanges] = useState(0); // reads what depends on the key again
  // What a change answered counts until the key is read again: its version is
  // what the next change has to name.
  const [newer, setNewer] = useState<KeyDetail | null>(null);
  const k = newer && answer.data && newer.version > answer.data.version ? newer : answer.data;
  const done = (changed?: KeyDetail) => {
    if (changed) setNewer(changed);
    answer.reload();
    setChanges((n) => n + 1);
  };
  if (answer.failure?.status === 404) {
    return <Empty icon="keys" title={t.keys.page.notFound}><a class="button" href={href("/keys")}>{t.keys.page.back}</a></Empty>;
  }
  if (!k) return answer.failure ? <Failure failure={answer.failure} retry={answer.reload} /> : <Skeleton lines={8} />;
  if (doing === "edit") return <EditKey of={k} onDone={(changed) => { setDoing(null); done(changed); }} onCancel={() => setDoing(null)} />;
  const close = () => setDoing(null);
  const managed = k.origin === "managed";
  return (
    <>
      <Failure failure={answer.failure} retry={answer.reload} />
      <Head of={k} todo={setDoing} done={done} />
      {!managed && <Notice>{t.keys.page.declared}</Notice>}
      {k.pending && <Notice tone="accent">{t.keys.pendingHelp}</Notice>}
      {k.grace && Date.parse(k.grace) > Date.now() && <Notice>{t.keys.page.grace(format.dateTime(k.grace))}</Notice>}
      <div class="key-columns">
        <section class="card">
          <header>
            <h2>{t.keys.page.budgets}</h2>
            {managed && k.state !== "revoked" && <BudgetButton id={k.id} name={k.name} onSaved={() => done()}>{t.keys.page.changeBudgets}</BudgetButton>}
          </header>
          <div class="body grid tight">
            {k.budgets.length === 0 && <p class="muted">{t.keys.page.noBudgets}</p>}
            {k.budgets.map((b) => <Budget key={b.tag + b.budget} budget={b} />)}
          </div>
        </section>
        <Limits of={k} />
      </div>
      {session.value!.features.ledger && (
        <>
          <KeyUse id={k.id} />
          <KeyErrors id={k.id} />
        </>
      )}
      <KeyAudit of={k} turn={changes} />
      {doing === "disable" && <DisableDialog of={k} onClose={close} onDone={(changed) => { close(); done(changed); }} />}
      {doing === "rotate" && <RotateDialog of={k} onClose={() => { close(); done(); }} />}
      {doing === "revoke" && <RevokeDialog of={k} onClose={close} onDone={() => { close(); done(); }} />}
      {doing === "handover" && <HandoverDialog of={k} onClose={() => { close(); done(); }} />}
    </>
  );
}

function Head({ of: k, todo, done }: { of: KeyDetail; todo: (what: Doing) => void; done: (changed?: KeyDetail) => void }) {
  const enable = useAction(() => patch<KeyDetail>(keyPath(k.id), k.version, { disabled: false }));
  const managed = k.origin === "managed" && k.state !== "revoked";
  return (
    <>
      <nav class="small-text"><a href={href("/keys")}><span aria-hidden="true">‹ </span>{t.keys.page.back}</a></nav>
      <div class="page-head">
        <h1><Name>{k.name}</Name> <StateBadge state={k.state} /> {k.pending && <Badge tone="accent">{t.keys.pending}</Badge>}</h1>
        {managed && (
          <div class="row">
            <button type="button" class="button" onClick={() => todo("edit")}><Icon name="edit" />{t.keys.page.edit}</button>
            {k.state === "disabled"
              ? <button type="button" class="button" disabled={enable.busy} onClick={async () => done(await enable.run())}>{t.keys.page.enable}</button>
              : <button type="button" class="button" onClick={() => todo("disable")}>{t.keys.page.disable}</button>}
            <button type="button" class="button" onClick={() => todo("rotate")}><Icon name="refresh" />{t.keys.page.rotate}</button>
            <button type="button" class="button" onClick={() => todo("handover")}><Icon name="link" />{t.keys.page.handover}</button>
            <button type="button" class="button danger" onClick={() => todo("revoke")}>{t.keys.page.revoke}</button>
          </div>
        )}
      </div>
      <Failure failure={enable.failure} />
      <dl class="pairs">
        <div><dt>{t.keys.page.id}</dt><dd class="mono">{k.id} <Copy text={k.id} /></dd></div>
        {k.masked && <div><dt>{t.keys.key}</dt><dd class="mono">{k.masked}</dd></div>}
        <div><dt>{t.keys.expires}</dt><dd>{k.expires ? <><Time at={k.expires} /> (<Ago at={k.expires} />)</> : t.keys.never}</dd></div>
        <div><dt>{t.keys.lastUsed}</dt><dd><LastHour at={k.last_used} /></dd></div>
        {k.created && <div><dt>{t.keys.page.created}</dt><dd><Time at={k.created} /></dd></div>}
        {k.updated && <div><dt>{t.keys.page.updated}</dt><dd><Time at={k.updated} /></dd></div>}
      </dl>
    </>
  );
}

// Limits shows the settings of the key as the form names them; budgets, name
// and expiry stand elsewhere on the page.
function Limits({ of: k }: { of: KeyDetail }) {
  const elsewhere = ["name", "expires", "budget"];
  const always: [string, string][] = [
    ["models", k.level > 0 ? t.keys.allOfLevel(k.level) : t.keys.page.all],
    ["routes", t.keys.page.all],
    ["rpm", t.keys.page.unlimited],
    ["tpm", t.keys.page.unlimited],
    ["ips", t.keys.page.anywhere],
  ];
  const others = Object.keys(k.fields).filter((name) => !elsewhere.includes(name) && !always.some(([a]) => a === name) && k.fields[name] !== "" && k.fields[name] !== "0");
  return (
    <section class="card">
      <header><h2>{t.keys.page.limits}</h2></header>
      <dl class="body pairs wide">
        {always.map(([name, otherwise]) => {
          const value = k.fields[name] ?? "";
          return <Fact key={name} name={name} value={value === "0" ? "" : value} otherwise={otherwise} />;
        })}
        {others.map((name) => <Fact key={name} name={name} value={k.fields[name]!} otherwise="" />)}
      </dl>
    </section>
  );
}

function Fact({ name, value, otherwise }: { name: string; value: string; otherwise: string }) {
  const help = name === "log" ? t.keys.form.logHelp[value] : name === "cache" ? t.keys.form.cacheHelp[value] : undefined;
  return (
    <>
      <dt>{t.keys.fields[name]?.[0] ?? name}</dt>
      <dd>{value === "" ? <span class="muted">{otherwise}</span> : <Name>{/^\d+$/.test(value) ? format.integer(Number(value)) : value}</Name>}
        {help && <div class="muted small-text">{help}</div>}</dd>
    </>
  );
}

function DisableDialog({ of: k, onClose, onDone }: { of: KeyDetail; onClose: () => void; onDone: (changed: KeyDetail) => void }) {
  const disable = useAction(() => patch<KeyDetail>(keyPath(k.id), k.version, { disabled: true }));
  const confirm = async () => {
    const changed = await disable.run();
    if (changed) onDone(changed);
  };
  return (
    <Confirm title={t.keys.page.disable} action={t.keys.page.disable} danger busy={disable.busy} failure={disable.failure} onConfirm={confirm} onClose={onClose}>
      <p>{t.keys.page.disableAsk(k.name)}</p>
    </Confirm>
  );
}

