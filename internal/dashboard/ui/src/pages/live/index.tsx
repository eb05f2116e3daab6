// The page Live: requests under way with their phase, queues, and those that
// have finished since the page was opened.
import { useState } from "preact/hooks";
import { ApiFailure, del } from "../../api/client";
import { useAction } from "../../api/use";
import type { QueueState, RequestRow, Running } from "../../api/types";
import { Confirm } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Empty, Failure, Notice } from "../../components/states";
import { Table, type Column } from "../../components/table";
import { Badge, Duration, Name, Time, Tokens, type Tone } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { go, place, setQuery } from "../../router";
import { Cost, statusTone } from "../requests/columns";
import { speed } from "./feed.ts";
import type { LinkState } from "./share.ts";
import { useFeed } from "./usefeed.ts";
import "./live.css";

export default function Live() {
  const [paused, setPaused] = useState(false);
  const { feed, state, failure, connect } = useFeed(paused);
  const [stopping, setStopping] = useState<Running | null>(null);
  const filter = place.value.query.get("filter") ?? "";
  const texts = t.live;
  const running = [...feed.running.values()].filter((r) => matches(r, filter)).sort((a, b) => (a.started < b.started ? -1 : 1));
  const done = feed.done.filter((r) => matches(r, filter)).slice(0, 50);
  return (
    <>
      <header class="page-head">
        <h1>{texts.title}</h1>
        <State state={state} paused={paused} />
        <button type="button" class="button" aria-pressed={paused} onClick={() => setPaused(!paused)}><Icon name={paused ? "play" : "pause"} />{paused ? texts.resume : texts.pause}</button>
      </header>
      {state === "broken" && <Notice tone="warn" action={<button type="button" class="button small" onClick={connect}>{texts.connect}</button>}>{texts.brokenHint}</Notice>}
      {feed.dropped > 0 && <Notice tone="warn">{texts.dropped(format.integer(feed.dropped))}</Notice>}
      <Failure failure={failure} retry={connect} />
      <div class="row">
        <input class="live-filter" data-search type="search" aria-label={texts.filter} placeholder={texts.filter} value={filter} onInput={(e) => setQuery({ filter: e.currentTarget.value })} />
      </div>
      <Queues rows={feed.queues} />
      <section class="card live running">
        <header><h2>{texts.running} <Badge tone={running.length ? "accent" : ""}>{format.integer(running.length)}</Badge></h2></header>
        <RunningTable rows={running.slice(0, 200)} onStop={setStopping} />
        {running.length > 200 && <p class="live-more muted small-text">{t.requests.content.more(format.integer(running.length - 200))}</p>}
      </section>
      <section class="card live">
        <header><h2>{texts.done}</h2></header>
        <Done rows={done} />
      </section>
      {stopping && <Stop request={stopping} onClose={() => setStopping(null)} />}
    </>
  );
}

function matches(r: { key_name: string; key: string; model: string; user: string; route: string }, filter: string): boolean {
  const wanted = filter.trim().toLowerCase();
  return wanted === "" || [r.key_name, r.key, r.model, r.user, r.route].some((text) => text.toLowerCase().includes(wanted));
}

function State({ state, paused }: { state: LinkState | "hidden"; paused: boolean }) {
  const texts = t.live;
  if (paused) return <Badge tone="warn" dot>{texts.paused}</Badge>;
  const tone: Tone = state === "open" || state === "shared" ? "good" : state === "broken" ? "bad" : "";
  return <span role="status"><Badge tone={tone} dot>{texts.states[state]}</Badge></span>;
}

const phaseTones: Record<Running["phase"], Tone> = { start: "", queue: "warn", upstream: "", waiting: "", streaming: "good" };

function RunningTable({ rows, onStop }: { rows: Running[]; onStop: (r: Running) => void }) {
  const now = Date.now();
  const texts = t.live;
  const columns: Column<Running>[] = [
    { id: "age", head: texts.cols.age, num: true, cell: (r) => <span title={format.fullTime(r.started)}><Duration ms={Math.max(0, now - Date.parse(r.started))} /></span> },
    { id: "key", head: texts.cols.key, cell: (r) => <Name>{r.key_name || r.key}</Name> },
    { id: "model", head: texts.cols.model, cell: (r) => <Name>{r.model || r.operation}</Name> },
    { id: "phase", head: texts.cols.phase, cell: (r) => <><Badge tone={phaseTones[r.phase]}>{texts.phases[r.phase] ?? r.phase}</Badge> <span class="muted small-text"><Duration ms={Math.max(0, now - Date.parse(r.phase_since))} /></span></> },
    { id: "tokens", head: texts.cols.tokens, num: true, cell: (r) => (r.tokens ? <Tokens n={r.tokens} /> : <span class="muted">–</span>) },
    { id: "speed", head: texts.cols.speed, num: true, minor: true, cell: (r) => <Speed request={r} now={now} /> },
    { id: "route", head: texts.cols.route, minor: true, cell: (r) => <Name>{r.route}</Name> },
    { id: "user", head: texts.cols.user, minor: true, cell: (r) => <Name>{r.user}</Name> },
    { id: "stop", head: <span class="hidden">{texts.stop}</span>, cell: (r) => <button type="button" class="button small danger" onClick={() => onStop(r)}><Icon name="stop" />{texts.stop}</button> },
  ];
  return <Table columns={columns} rows={rows} rowKey={(r) => r.id} label={texts.running} onOpen={(r) => go("/requests", { open: r.id })} empty={<Empty icon="live" title={texts.nothing}>{texts.nothingHint}</Empty>} />;
}

function Speed({ request, now }: { request: Running; now: number }) {
  const n = speed(request, now);
  return n === null ? <span class="muted">–</span> : <span class="tabular">{format.integer(n)}</span>;
}

function Queues({ rows }: { rows: QueueState[] }) {
  const texts = t.live;
  const waiting = rows.filter((q) => q.waiting > 0).sort((a, b) => b.waiting - a.waiting);
  return (
    <section class="card queues" aria-label={texts.queues}>
      <h2>{texts.queues}</h2>
      {waiting.length === 0 && <span class="muted">{texts.noQueues}</span>}
      {waiting.slice(0, 24).map((q) => (
        <span key={q.route + " " + q.model} class="queue-item">
          <b><Name>{q.model || q.route}</Name></b>
          <span>{texts.waiting(format.integer(q.waiting))}</span>
          <span class="muted">{texts.longest(format.duration(q.longest_ms))}</span>
        </span>
      ))}
    </section>
  );
}

function Done({ rows }: { rows: RequestRow[] }) {
  const names = t.requests.cols;
  const columns: Column<RequestRow>[] = [
    { id: "time", head: names.time, cell: (r) => <Time at={r.time} only="clock" /> },
    { id: "key", head: names.key, cell: (r) => <Name>{r.key_name || r.key}</Name> },
    { id: "model", head: names.model, cell: (r) => <Name>{r.model || r.operation}</Name> },
    { id: "status", head: names.status, cell: (r) => <><Badge tone={statusTone(r.status)}>{r.status}</Badge> <span class="muted"><Name>{r.cause || " "}</Name></span></> },
    { id: "tokens", head: names.tokens, num: true, minor: true, cell: (r) => <><Tokens n={r.input_tokens} /> <span class="muted">/</span> <Tokens n={r.output_tokens} /></> },
    { id: "cost", head: names.cost, num: true, cell: (r) => <Cost row={r} /> },
    { id: "total", head: names.total, num: true, cell: (r) => <Duration ms={r.total_ms} /> },
    { id: "cache", head: names.cache, minor: true, cell: (r) => <Name>{r.cache}</Name> },
  ];
  return <Table columns={columns} rows={rows} rowKey={(r) => r.id} label={t.live.done} onOpen={(r) => go("/requests", { open: r.id })} empty={<p class="live-none muted">{t.live.noneDone}</p>} />;
}

function Stop({ request, onClose }: { request: Running; onClose: () => void }) {
  const [gone, setGone] = useState(false);
  const stop = useAction(async () => {
    try {
      await del(`/running/${encodeURIComponent(request.id)}`);
      onClose();
    } catch (err) {
      if (!(err instanceof ApiFailure) || err.status !== 404) throw err;
      setGone(true);
    }
  });
  const texts = t.live;
  return (
    <Confirm title={texts.stopTitle} action={texts.stopAction} danger busy={stop.busy || gone} failure={stop.failure} onConfirm={() => stop.run()} onClose={onClose}>
      <p><b><Name>{request.model || request.operation}</Name></b> · <Name>{request.key_name || request.key}</Name></p>
      <p class="mono small-text muted">{request.id}</p>
      <p>{gone ? texts.gone : texts.stopText}</p>
    </Confirm>
  );
}
