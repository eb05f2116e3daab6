// The audit: who did what, when and from where, newest first.
import { useRef, useState } from "preact/hooks";
import type { AuditEntry } from "../../api/types";
import { useApi } from "../../api/use";
import { Sheet } from "../../components/dialog";
import { Select } from "../../components/field";
import { Empty, Loaded } from "../../components/states";
import { CSV, Table, type Column } from "../../components/table";
import { Pager } from "../../components/tabs";
import { Badge, Name, Time, type Tone } from "../../components/values";
import { t } from "../../i18n";
import { place, setQuery } from "../../router";
import { Changes, changesOf } from "./changes";

interface Page {
  entries: AuditEntry[];
  next_before: number | null;
}

export function Log() {
  const { query } = place.value;
  const action = query.get("action") ?? "";
  const actor = query.get("actor") ?? "";
  const before = query.get("before");
  const asked = { action, actor };
  const answer = useApi<Page>("/audit", { ...asked, before, limit: 50 });
  const [open, setOpen] = useState<AuditEntry | null>(null);
  const trail = useRef<(string | null)[]>([]); // the pages before this one
  const older = (next: number) => {
    trail.current.push(before);
    setQuery({ before: next }, true);
  };
  const filter = (changes: Record<string, string | null>) => {
    trail.current = [];
    setQuery({ ...changes, before: null });
  };
  return (
    <section class="card">
      <div class="row audit-tools">
        <Select label={t.audit.action} value={action} onChange={(value) => filter({ action: value })}
          options={[{ value: "", text: t.audit.allActions }, ...Object.entries(t.audit.actions).map(([value, text]) => ({ value, text }))]} />
        <form onSubmit={(e) => { e.preventDefault(); filter({ actor: String(new FormData(e.currentTarget).get("actor")).trim() }); }}>
          <input name="actor" data-search aria-label={t.audit.actor} placeholder={t.audit.actorHint} defaultValue={actor} key={actor} autocomplete="off" spellcheck={false} />
        </form>
        <span class="grow" />
        <CSV path="/audit" query={asked} />
      </div>
      <Loaded answer={answer}>
        {(page) => (
          <>
            <Table label={t.audit.log} columns={columns()} rows={page.entries} rowKey={(e) => String(e.id)} onOpen={setOpen} current={open ? String(open.id) : undefined}
              empty={<Empty icon="audit" title={t.audit.empty}>{t.audit.emptyHint}</Empty>} />
            {(before !== null || page.next_before !== null) && (
              <Pager previous={before === null ? undefined : () => setQuery({ before: trail.current.pop() ?? null }, true)} next={page.next_before === null ? undefined : () => older(page.next_before!)} />
            )}
          </>
        )}
      </Loaded>
      {open && <Details entry={open} onClose={() => setOpen(null)} />}
    </section>
  );
}

function columns(): Column<AuditEntry>[] {
  return [
    { id: "time", head: t.common.time, cell: (e) => <Time at={e.time} /> },
    { id: "actor", head: t.audit.actor, cell: (e) => <Actor entry={e} /> },
    { id: "action", head: t.audit.action, cell: (e) => <Action name={e.action} /> },
    { id: "object", head: t.audit.object, cell: (e) => <Name>{e.object}</Name> },
    { id: "changes", head: t.audit.changes, cell: (e) => <Changes list={changesOf(e.before, e.after)} most={3} />, minor: true },
    { id: "address", head: t.audit.address, cell: (e) => <Name mono>{e.address}</Name>, minor: true },
  ];
}

function Actor({ entry }: { entry: AuditEntry }) {
  if (entry.role === "administrator" || entry.role === "command") return <>{t.audit.role[entry.role]}</>;
  return entry.actor ? <Name>{entry.actor}</Name> : <span class="muted">{t.audit.unknown}</span>;
}

function Action({ name }: { name: string }) {
  const tone: Tone = /refused|revoke|purge|stop/.test(name) ? "bad" : /create|enable|start/.test(name) ? "good" : /update|rotate|reload|reprice|disable/.test(name) ? "warn" : "";
  const known = t.audit.actions[name];
  return <Badge tone={tone}>{known ?? <code>{name}</code>}</Badge>;
}

function Details({ entry, onClose }: { entry: AuditEntry; onClose: () => void }) {
  const list = changesOf(entry.before, entry.after);
  return (
    <Sheet title={t.audit.details} onClose={onClose}>
      <dl class="audit-facts">
        <dt>{t.common.time}</dt><dd><Time at={entry.time} /></dd>
        <dt>{t.audit.action}</dt><dd><Action name={entry.action} /></dd>
        <dt>{t.audit.object}</dt><dd><Name>{entry.object}</Name></dd>
        <dt>{t.audit.actor}</dt><dd><Actor entry={entry} /></dd>
        <dt>{t.audit.address}</dt><dd><Name mono>{entry.address}</Name></dd>
      </dl>
      {list.length > 0 && <h3>{t.audit.changes}</h3>}
      <Changes list={list} />
    </Sheet>
  );
}
