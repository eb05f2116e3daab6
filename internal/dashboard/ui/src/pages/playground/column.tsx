// One answer of the playground: what came, what it cost, its events, and the
// request as code.
import { useEffect, useState } from "preact/hooks";
import { ApiFailure, get } from "../../api/client";
import type { RequestDetail } from "../../api/types";
import { Icon } from "../../components/icon";
import { Notice } from "../../components/states";
import { Segments, Tabs } from "../../components/tabs";
import { Badge, Code, Duration, Money, Name, Tokens } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { href } from "../../router";
import { me } from "../../session";
import { statusTone } from "../requests/columns";
import { gatewayURL } from "../requests/content";
import { curl, javascript, python } from "../requests/curl.ts";
import { Plain, TextView } from "../requests/textview";
import type { Dialect } from "./answer.ts";
import { baseOf } from "./form.ts";
import type { Run } from "./run.ts";
import "../requests/requests.css";

type Tab = "answer" | "events" | "headers" | "code";
const drawnEvents = 200;

export function Column({ run, title, call, onContinue }: {
  run: Run | null;
  title: string;
  call: { path: string; dialect: Dialect; body: unknown };
  onContinue?: (text: string) => void;
}) {
  const [tab, setTab] = useState<Tab>("answer");
  const texts = t.playground;
  const tabs: { value: Tab; text: string }[] = [
    { value: "answer", text: texts.answer },
    { value: "events", text: texts.events },
    { value: "headers", text: texts.headers },
    { value: "code", text: texts.code },
  ];
  return (
    <section class="card play-column">
      <header><h2><Name>{title}</Name></h2>{run && <RunState run={run} />}</header>
      <Tabs label={title} tabs={tabs} value={tab} onChange={setTab}>
        {tab === "answer" ? <AnswerView run={run} onContinue={onContinue} /> : tab === "events" ? <Events run={run} /> : tab === "headers" ? <Headers run={run} /> : <CallCode call={call} />}
      </Tabs>
      {run && <Figures run={run} />}
    </section>
  );
}

function RunState({ run }: { run: Run }) {
  const texts = t.playground;
  if (run.state === "stopped") return <Badge tone="warn">{texts.stopped}</Badge>;
  return run.status ? <Badge tone={statusTone(run.status)}>{run.status}</Badge> : <Badge dot>{texts.waiting}</Badge>;
}

function AnswerView({ run, onContinue }: { run: Run | null; onContinue?: (text: string) => void }) {
  const [markdown, setMarkdown] = useState(false);
  const texts = t.playground;
  if (!run) return <p class="muted">{texts.empty}</p>;
  const { answer } = run;
  const ended = run.state !== "waiting" && run.state !== "streaming";
  return (
    <>
      {run.error && <Notice tone="bad"><bdi dir="auto">{run.error.slice(0, 4_000)}</bdi></Notice>}
      {answer.reasoning && (
        <details class="folded" open={answer.text === ""}>
          <summary><b>{t.requests.content.reasoning}</b> <span class="muted">{t.requests.content.chars(format.compact(answer.reasoning.length))}</span></summary>
          <Plain text={answer.reasoning} />
        </details>
      )}
      {answer.text ? <div aria-busy={!ended}><TextView text={answer.text} markdown={markdown && ended} /></div> : !ended && <p class="muted" role="status">{texts.waiting}</p>}
      {answer.tools.map((call, i) => (
        <details key={i} class="folded" open>
          <summary><b>{t.requests.content.toolCall}</b> <Name>{call.name}</Name></summary>
          <Plain text={call.arguments} />
        </details>
      ))}
      {ended && answer.text && (
        <div class="row">
          <Segments label={texts.answer} value={markdown ? "markdown" : "plain"} onChange={(v) => setMarkdown(v === "markdown")} options={[{ value: "plain", text: t.requests.content.plain }, { value: "markdown", text: t.requests.content.markdown }]} />
          {onContinue && <button type="button" class="button small" onClick={() => onContinue(answer.text)}><Icon name="plus" />{texts.keepTurn}</button>}
        </div>
      )}
    </>
  );
}

function Events({ run }: { run: Run | null }) {
  const texts = t.playground;
  if (!run || run.eventCount === 0) return <p class="muted">{texts.noEvents}</p>;
  const shown = run.events.slice(-drawnEvents);
  const hidden = run.eventCount - shown.length;
  return (
    <div class="events">
      {hidden > 0 && <p class="muted small-text">{texts.eventsCut(format.integer(hidden))}</p>}
      {shown.map((text, i) => <pre key={hidden + i} dir="ltr">{text}</pre>)}
    </div>
  );
}

function Headers({ run }: { run: Run | null }) {
  if (!run || run.headers.length === 0) return <p class="muted">{t.playground.empty}</p>;
  return (
    <dl class="headers">
      {run.headers.map(([name, value]) => <div key={name}><dt class="mono">{name}</dt><dd class="mono"><bdi>{value}</bdi></dd></div>)}
    </dl>
  );
}

function CallCode({ call }: { call: { path: string; dialect: Dialect; body: unknown } }) {
  const [language, setLanguage] = useState<"curl" | "python" | "javascript">("curl");
  const texts = t.playground;
  const full = { url: gatewayURL(call.path), dialect: call.dialect, body: call.body };
  const base = gatewayURL(baseOf(call.dialect, call.path));
  const text = language === "curl" ? curl(full) : language === "python" ? python(full, base) : javascript(full, base);
  return (
    <>
      <Segments label={texts.code} value={language} onChange={setLanguage} options={(["curl", "python", "javascript"] as const).map((value) => ({ value, text: texts.languages[value] }))} />
      <Code text={text} />
    </>
  );
}

// The tokens come with the answer; the cost is in the ledger a moment later.
function Figures({ run }: { run: Run }) {
  const ended = run.state !== "waiting" && run.state !== "streaming";
  const detail = useDetail(ended && me().features.ledger ? run.id : "");
  const texts = t.playground.figures;
  const row = detail?.request;
  const input = row ? row.input_tokens : run.answer.input;
  const output = row ? row.output_tokens : run.answer.output;
  const seconds = run.totalMs !== null && run.firstMs !== null ? (run.totalMs - run.firstMs) / 1000 : 0;
  const header = (name: string) => run.headers.find(([n]) => n === name)?.[1] ?? "";
  const cache = row?.cache ?? header("x-cache").toLowerCase();
  const dash = <span class="muted">–</span>;
  return (
    <>
      <dl class="play-figures">
        <div><dt>{texts.first}</dt><dd><Duration ms={run.firstMs} /></dd></div>
        <div><dt>{texts.total}</dt><dd><Duration ms={run.totalMs} /></dd></div>
        <div><dt>{texts.input}</dt><dd>{input === null ? dash : <Tokens n={input} />}</dd></div>
        <div><dt>{texts.output}</dt><dd>{output === null ? dash : <Tokens n={output} />}</dd></div>
        <div><dt>{texts.speed}</dt><dd>{output && seconds > 0.05 ? <span class="tabular">{format.integer(output / seconds)}</span> : dash}</dd></div>
        <div><dt>{texts.cost}</dt><dd>{row ? <Money nano={row.cost_nano_usd} /> : dash}</dd></div>
        <div><dt>{texts.cache}</dt><dd><Name>{cache}</Name></dd></div>
      </dl>
      {ended && run.id && <p class="row small-text"><a href={href("/requests", { open: run.id })}>{t.playground.openRequest}</a> <span class="muted mono">{run.id}</span></p>}
    </>
  );
}

// useDetail reads the row of a request as soon as the ledger has it, in at most
// four tries.
function useDetail(id: string): RequestDetail | null {
  const [detail, setDetail] = useState<RequestDetail | null>(null);
  useEffect(() => {
    setDetail(null);
    if (!id) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const read = (tries: number) => {
      timer = setTimeout(async () => {
        try {
          const found = await get<RequestDetail>(`/requests/${encodeURIComponent(id)}`, {}, { signal: abort.signal });
          if (!found.open) return setDetail(found);
        } catch (err) {
          if (!(err instanceof ApiFailure)) return; // the page is left
        }
        if (tries > 1) read(tries - 1);
      }, 1_500 / tries);
    };
    read(4);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id]);
  return detail;
}
