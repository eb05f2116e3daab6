// The settings: what is in force and where it comes from, a check of a copy,
// export and reload. Nothing here changes a file of the gateway.
import { useState } from "preact/hooks";
import { apiURL, post } from "../../api/client";
import type { Setting } from "../../api/types";
import { useAction, useApi } from "../../api/use";
import { Confirm, Dialog } from "../../components/dialog";
import { Check } from "../../components/field";
import { Icon } from "../../components/icon";
import { Empty, Loaded, Notice } from "../../components/states";
import { CSV, sortIn, Table, type Column } from "../../components/table";
import { Tabs } from "../../components/tabs";
import { Badge } from "../../components/values";
import { t } from "../../i18n";
import { place, setQuery } from "../../router";
import { CheckCopy } from "./check";
import "./settings.css";

interface Reloaded {
  changed: string[];
  restart: string[];
  warnings: string[];
}

export default function SettingsPage() {
  const tab = place.value.query.get("tab") === "check" ? "check" : "force";
  const [asking, setAsking] = useState(false);
  const [reloaded, setReloaded] = useState<Reloaded | null>(null);
  const answer = useApi<{ settings: Setting[] }>("/settings");
  const action = useAction(async () => {
    setReloaded(await post<Reloaded>("/reload"));
    setAsking(false);
    answer.reload();
  });
  return (
    <>
      <header class="page-head">
        <h1>{t.settings.title}</h1>
        <a class="button" href={apiURL("/settings/export")} download="forward.yaml"><Icon name="download" />{t.settings.export}</a>
        <button type="button" class="button" onClick={() => setAsking(true)}><Icon name="refresh" />{t.settings.reload}</button>
      </header>
      <Tabs label={t.settings.title} value={tab} tabs={[{ value: "force", text: t.settings.inForce }, { value: "check", text: t.settings.check }]}
        onChange={(value) => setQuery({ tab: value === "force" ? null : value }, true)}>
        {tab === "force" ? <Loaded answer={answer}>{({ settings }) => <InForce settings={settings} />}</Loaded> : <CheckCopy />}
      </Tabs>
      {asking && (
        <Confirm title={t.settings.reloadTitle} action={t.settings.reload} busy={action.busy} failure={action.failure} onConfirm={() => action.run()} onClose={() => { setAsking(false); action.clear(); }}>
          <p>{t.settings.reloadText}</p>
        </Confirm>
      )}
      {reloaded && <Outcome reloaded={reloaded} onClose={() => setReloaded(null)} />}
    </>
  );
}

function Outcome({ reloaded, onClose }: { reloaded: Reloaded; onClose: () => void }) {
  const lists = [[t.settings.reloadedChanged, reloaded.changed], [t.settings.reloadedRestart, reloaded.restart], [t.settings.reloadedWarnings, reloaded.warnings]] as const;
  return (
    <Dialog title={t.settings.reload} onClose={onClose} actions={<button type="button" class="button primary" onClick={onClose}>{t.common.close}</button>}>
      <Notice tone="good">{t.settings.reloaded} {lists.every(([, list]) => list.length === 0) && t.settings.reloadedNothing}</Notice>
      {lists.map(([title, list]) => list.length > 0 && (
        <section key={title} class="grid">
          <h3>{title}</h3>
          <ul class="reload-list">{list.map((text) => <li key={text}><code>{text}</code></li>)}</ul>
        </section>
      ))}
    </Dialog>
  );
}

function InForce({ settings }: { settings: Setting[] }) {
  const { query } = place.value;
  const words = (query.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const changed = query.get("set") === "true";
  const shown = settings.filter((s) => (!changed || s.source !== "default") && words.every((w) => `${s.name} ${s.value}`.toLowerCase().includes(w)));
  const columns: Column<Setting>[] = [
    { id: "name", head: t.settings.name, value: (s) => s.name, cell: (s) => <code>{s.name}</code> },
    { id: "value", head: t.settings.value, value: (s) => s.value, cell: (s) => (s.value === "" ? <span class="muted">{t.settings.empty}</span> : <code><bdi dir="auto">{s.value}</bdi></code>) },
    {
      id: "source", head: t.settings.source, value: (s) => s.source,
      cell: (s) => (
        <span class="row">
          {s.source === "default" ? <span class="muted">{t.settings.sources.default}</span> : <span title={s.where || undefined}><Badge tone="accent">{t.settings.sources[s.source] ?? s.source}</Badge></span>}
          {s.pending && <span title={t.settings.pendingHint}><Badge tone="warn">{t.settings.pending}</Badge></span>}
          {s.restart && <span title={t.settings.needsRestartHint}><Badge>{t.settings.needsRestart}</Badge></span>}
          {s.fixed && <span title={t.settings.fixedHint}><Badge>{t.settings.fixed}</Badge></span>}
        </span>
      ),
    },
  ];
  return (
    <section class="card settings-table">
      <div class="row settings-tools">
        <input type="search" data-search aria-label={t.settings.search} placeholder={t.settings.search} value={query.get("q") ?? ""} onInput={(e) => setQuery({ q: e.currentTarget.value })} />
        <Check checked={changed} onChange={(on) => setQuery({ set: on })}>{t.settings.changed}</Check>
        <span class="muted small-text grow">{t.settings.count(shown.length, settings.length)}</span>
        <CSV columns={columns} rows={shown} name="settings" />
      </div>
      <Table label={t.settings.inForce} columns={columns} rows={shown} rowKey={(s) => s.name} {...sortIn(query, "")} empty={<Empty icon="search" title={t.settings.none} />} />
    </section>
  );
}
