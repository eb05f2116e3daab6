// The sessions that are open, and their end.
import { useState } from "preact/hooks";
import { del } from "../../api/client";
import type { OpenSession } from "../../api/types";
import { useAction, useApi } from "../../api/use";
import { Confirm } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Empty, Loaded } from "../../components/states";
import { CSV, Table, type Column } from "../../components/table";
import { Ago, Badge, Name, Time } from "../../components/values";
import { t } from "../../i18n";
import { href } from "../../router";
import { signOut } from "../../session";

export function Sessions() {
  const answer = useApi<{ sessions: OpenSession[] }>("/sessions", {}, 30_000);
  const [ending, setEnding] = useState<OpenSession[] | null>(null);
  const action = useAction(async (list: OpenSession[]) => {
    const [one] = list;
    if (list.length > 1) await del("/sessions"); // all but this one
    else if (one!.current) return signOut();
    else await del("/sessions/" + encodeURIComponent(one!.id));
    setEnding(null);
    answer.reload();
  });
  const name = (s: OpenSession) => (s.role === "administrator" ? t.shell.administrator : s.name);
  const columns: Column<OpenSession>[] = [
    { id: "who", head: t.audit.person, value: name, cell: (s) => <span class="row">{s.role === "administrator" ? t.shell.administrator : <a href={href("/keys/" + encodeURIComponent(s.key))}><Name>{s.name}</Name></a>}{s.current && <Badge tone="accent">{t.audit.current}</Badge>}</span> },
    { id: "browser", head: t.audit.browser, value: (s) => s.agent, cell: (s) => <span title={s.agent}>{browserOf(s.agent)}</span> },
    { id: "address", head: t.audit.address, value: (s) => s.address, cell: (s) => <Name mono>{s.address}</Name>, minor: true },
    { id: "created", head: t.audit.since, value: (s) => s.created, cell: (s) => <Time at={s.created} />, minor: true },
    { id: "seen", head: t.audit.seen, value: (s) => s.seen, cell: (s) => <Ago at={s.seen} /> },
    { id: "until", head: t.audit.until, value: (s) => s.until, cell: (s) => <Time at={s.until} />, minor: true },
    { id: "end", head: <span class="hidden">{t.audit.end}</span>, num: true, cell: (s) => <button type="button" class="button small danger" aria-label={`${t.audit.end}: ${name(s)}, ${s.address}`} onClick={() => setEnding([s])}>{t.audit.end}</button> },
  ];
  return (
    <section class="card">
      <Loaded answer={answer}>
        {({ sessions }) => {
          const others = sessions.filter((s) => !s.current);
          return (
            <>
              <header>
                <h2>{t.audit.sessions}</h2>
                <CSV columns={columns} rows={sessions} name="sessions" />
                <button type="button" class="button small danger" disabled={others.length === 0} onClick={() => setEnding(others)}><Icon name="signout" />{t.audit.endOthers}</button>
              </header>
              <Table label={t.audit.sessions} columns={columns} rows={sessions} rowKey={(s) => s.id} empty={<Empty icon="audit" title={t.audit.noSessions} />} />
            </>
          );
        }}
      </Loaded>
      {ending && (
        <Confirm danger title={ending.length > 1 ? t.audit.endOthersTitle : t.audit.endTitle} action={ending.length > 1 ? t.audit.endOthers : t.audit.end} busy={action.busy} failure={action.failure}
          onConfirm={() => action.run(ending)} onClose={() => setEnding(null)}>
          <p>{ending.length > 1 ? t.audit.endOthersText(ending.length) : t.audit.endText(name(ending[0]!))}</p>
        </Confirm>
      )}
    </section>
  );
}

/** The browser and system of a user agent, in short. */
function browserOf(agent: string): string {
  const browser = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Version/", "Safari"]].find(([mark]) => agent.includes(mark!));
  const system = [["Android", "Android"], ["iPhone", "iOS"], ["iPad", "iPadOS"], ["Mac OS X", "macOS"], ["Windows", "Windows"], ["Linux", "Linux"]].find(([mark]) => agent.includes(mark!));
  if (!browser) return agent.slice(0, 40) || "–";
  const version = agent.split(browser[0]!)[1]?.split(/[. ;]/)[0] ?? "";
  return `${browser[1]} ${version}${system ? " · " + system[1] : ""}`;
}
