// A check of a copy of forward.yaml: its faults and what it would change.
import { useRef, useState } from "preact/hooks";
import { call, post } from "../../api/client";
import { useAction } from "../../api/use";
import { Field } from "../../components/field";
import { Icon } from "../../components/icon";
import { Failure, Notice } from "../../components/states";
import { save, Table, type Column } from "../../components/table";
import { Badge } from "../../components/values";
import { t } from "../../i18n";

interface Checked {
  ok: boolean;
  problems: { line: number | null; setting: string; message: string }[];
  changes: Change[];
  warnings: string[];
}
interface Change {
  name: string;
  before: string;
  after: string;
  restart: boolean;
}

export function CheckCopy() {
  const [text, setText] = useState("");
  const [result, setResult] = useState<Checked | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const edit = (next: string) => {
    setText(next);
    setResult(null);
  };
  const start = useAction(async () => edit(await (await call("GET", "/settings/export", undefined, { headers: { Accept: "text/yaml" } })).text()));
  const check = useAction(async () => setResult(await post<Checked>("/settings/check", { yaml: text })));
  const show = (line: number) => {
    const lines = text.split("\n");
    const from = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
    const el = area.current!;
    el.focus();
    el.setSelectionRange(from, from + (lines[line - 1]?.length ?? 0));
    el.scrollTop = Math.max(0, (line - 5) * (el.scrollHeight / Math.max(1, lines.length)));
  };
  const columns: Column<Change>[] = [
    { id: "name", head: t.settings.name, value: (c) => c.name, cell: (c) => <span class="row"><code>{c.name}</code>{c.restart && <span title={t.settings.needsRestartHint}><Badge tone="warn">{t.settings.needsRestart}</Badge></span>}</span> },
    { id: "before", head: t.settings.before, cell: (c) => (c.before ? <code>{c.before}</code> : <span class="muted">{t.settings.empty}</span>) },
    { id: "after", head: t.settings.after, cell: (c) => (c.after ? <code class="good">{c.after}</code> : <span class="muted">{t.settings.empty}</span>) },
  ];
  return (
    <>
      <p class="muted">{t.settings.checkIntro}</p>
      <div class="check-panes">
        <section class="card">
          <div class="row">
            <button type="button" class="button small" disabled={start.busy} onClick={() => start.run()}>{t.settings.checkStart}</button>
            <label class="button small file">
              {t.settings.checkFile}
              <input type="file" class="hidden" accept=".yaml,.yml,text/yaml" onChange={async (e) => e.currentTarget.files?.[0] && edit(await e.currentTarget.files[0].text())} />
            </label>
          </div>
          <Failure failure={start.failure} />
          <Field label={t.settings.checkText}>
            <textarea ref={area} data-search spellcheck={false} value={text} onInput={(e) => edit(e.currentTarget.value)} />
          </Field>
          <div class="row end">
            <button type="button" class="button small" disabled={!text} onClick={() => save("forward.yaml", text, "text/yaml;charset=utf-8")}><Icon name="download" />{t.settings.download}</button>
            <button type="button" class="button small primary" disabled={!text.trim() || check.busy} onClick={() => check.run()}>{t.settings.checkRun}</button>
          </div>
        </section>
        {(result || check.failure) && (
          <section class="card" aria-live="polite">
            <Failure failure={check.failure} />
            {result && (result.problems.length === 0 ? <Notice tone="good">{t.settings.ok}</Notice> : <h2 class="bad">{t.settings.problems(result.problems.length)}</h2>)}
            {result && result.problems.length > 0 && (
              <ul class="problems">
                {result.problems.map((p, i) => (
                  <li key={i}>
                    <span class="row">{p.line !== null && p.line > 0 && <button type="button" onClick={() => show(p.line!)}>{t.settings.line(p.line)}</button>}{p.setting && <code>{p.setting}</code>}</span>
                    <bdi dir="auto" lang="en">{p.message}</bdi>
                  </li>
                ))}
              </ul>
            )}
            {result && (result.changes.length > 0 ? (
              <>
                <h2>{t.settings.changes}</h2>
                <Table label={t.settings.changes} columns={columns} rows={result.changes} rowKey={(c) => c.name} />
              </>
            ) : result.ok && <p class="muted">{t.settings.noChanges}</p>)}
            {result && result.warnings.length > 0 && (
              <>
                <h2>{t.settings.checkWarnings}</h2>
                <ul class="reload-list">{result.warnings.map((text) => <li key={text} class="small-text" lang="en">{text}</li>)}</ul>
              </>
            )}
            {result?.ok && result.changes.length > 0 && <p class="muted small-text">{t.settings.apply}</p>}
          </section>
        )}
      </div>
    </>
  );
}
