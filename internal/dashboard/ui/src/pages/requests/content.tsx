// The content of a request: a conversation, or the policy that keeps none.
import { useMemo, useState } from "preact/hooks";
import { ApiFailure, get } from "../../api/client";
import type { Part, RequestContent, RequestDetail, RequestRow } from "../../api/types";
import { useApi } from "../../api/use";
import { Icon } from "../../components/icon";
import { Failure, Notice, Skeleton } from "../../components/states";
import { Segments } from "../../components/tabs";
import { Badge, copyText, Name } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { go } from "../../router";
import { isAdministrator, me } from "../../session";
import { draft } from "../playground/draft";
import { pathOf } from "../playground/form.ts";
import { curl } from "./curl.ts";
import { JSONTree } from "./jsontree";
import { Plain, TextView } from "./textview";
import { maxMessages, partText, transcript, type Entry, type Item } from "./transcript.ts";

const contentPath = (id: string) => `/requests/${encodeURIComponent(id)}/content`;

// The last content that was read: copying it as curl or opening it in the
// playground does not read, and record, it again.
let last: { id: string; content: RequestContent } | null = null;

// Whether the content of requests is read along with them. It stays for the life
// of the page, so that j and k go from one conversation to the next.
let contentShown = false;

function useShown(): [boolean, (on: boolean) => void] {
  const [shown, setShown] = useState(contentShown);
  return [shown, (on) => setShown((contentShown = on))];
}

export function Content({ id, state }: { id: string; state: RequestDetail["content"] }) {
  const [shown, setShown] = useShown();
  const texts = t.requests.content;
  return (
    <section class="part">
      <div class="row">
        <h3 class="grow">{texts.title}</h3>
        {state === "available" && (
          <button type="button" class="button small" aria-expanded={shown} title={isAdministrator() ? texts.audited : undefined} onClick={() => setShown(!shown)}>{shown ? texts.hide : texts.show}</button>
        )}
      </div>
      {state !== "available" ? (
        <p class="muted">{texts.reasons[state] ?? state}</p>
      ) : shown ? (
        <Loaded id={id} />
      ) : (
        isAdministrator() && <p class="muted small-text">{texts.audited}</p>
      )}
    </section>
  );
}

function Loaded({ id }: { id: string }) {
  const answer = useApi<RequestContent>(contentPath(id));
  if (answer.failure) return <Failure failure={answer.failure} retry={answer.reload} />;
  if (!answer.data) return <Skeleton />;
  last = { id, content: answer.data };
  return <Shown content={answer.data} />;
}

function Shown({ content }: { content: RequestContent }) {
  const [form, setForm] = useState<"plain" | "markdown" | "json">("plain");
  const texts = t.requests.content;
  return (
    <>
      <Segments label={texts.transcript} value={form} onChange={setForm} options={[{ value: "plain", text: texts.plain }, { value: "markdown", text: texts.markdown }, { value: "json", text: texts.json }]} />
      {content.policy === "redacted" && <Notice>{texts.redacted}</Notice>}
      {content.truncated && <Notice tone="warn">{texts.truncated}</Notice>}
      {form === "json" ? (
        <>
          <h3>{texts.requestBody}</h3>
          <JSONTree value={content.request} />
          <h3>{texts.responseBody}</h3>
          <JSONTree value={content.response} />
        </>
      ) : (
        <Transcript messages={content.messages} markdown={form === "markdown"} />
      )}
    </>
  );
}

function Transcript({ messages, markdown }: { messages: RequestContent["messages"]; markdown: boolean }) {
  const entries = useMemo(() => transcript(messages), [messages]);
  const [count, setCount] = useState(maxMessages);
  const hidden = Math.max(0, entries.length - count);
  return (
    <div class="transcript">
      {hidden > 0 && <button type="button" class="button small" onClick={() => setCount(count + maxMessages)}>{t.requests.content.earlier(format.integer(Math.min(hidden, maxMessages)))}</button>}
      {entries.slice(hidden).map((e, i) => <MessageView key={hidden + i} entry={e} markdown={markdown} />)}
    </div>
  );
}

function MessageView({ entry, markdown }: { entry: Entry; markdown: boolean }) {
  const texts = t.requests.content;
  return (
    <article class={`message ${entry.answer ? "answer" : ""} ${["user", "assistant", "system", "tool"].includes(entry.role) ? entry.role : ""}`}>
      <header><Name>{texts.roles[entry.role] ?? entry.role}</Name></header>
      {entry.items.map((item, i) => <PartView key={i} item={item} markdown={markdown} />)}
    </article>
  );
}

function PartView({ item, markdown }: { item: Item; markdown: boolean }) {
  const [open, setOpen] = useState(item.open);
  const { part } = item;
  if (part.type === "media") {
    return <p><Badge><Name>{t.requests.content.media(part.media_type || "?", format.bytes(part.bytes))}</Name></Badge></p>;
  }
  if (part.type === "text" && item.open) return <TextView text={part.text} markdown={markdown} />;
  return (
    <details class={`folded ${part.type === "tool_result" && part.failed ? "failed" : ""}`} open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <b>{headOf(part)}</b> <bdi dir="auto">{part.type === "tool_call" ? part.name : item.hint}</bdi> <span class="muted">{t.requests.content.chars(format.compact(item.size))}</span>
      </summary>
      {open && <PartBody part={part} markdown={markdown} />}
    </details>
  );
}

function headOf(part: Part): string {
  const texts = t.requests.content;
  switch (part.type) {
    case "tool_call":
      return texts.toolCall;
    case "tool_result":
      return part.failed ? texts.toolFailed : texts.toolResult;
    case "reasoning":
      return texts.reasoning;
    case "text":
      return "";
    default:
      return texts.other;
  }
}

function PartBody({ part, markdown }: { part: Part; markdown: boolean }) {
  if (part.type === "other") return <JSONTree value={part.json} />;
  if (part.type === "text" || part.type === "reasoning") return <TextView text={part.text} markdown={markdown} />;
  const text = partText(part);
  const value = text.length < 500_000 ? parsed(text) : undefined;
  return value === undefined ? <Plain text={text} /> : <JSONTree value={value} />;
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The request as a command. The body stands in it where it has been read. */
export function CopyCurl({ row }: { row: RequestRow }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    const dialect = dialectOf(row);
    const body = last?.id === row.id ? last.content.request : { model: row.model, stream: row.stream || undefined };
    await copyText(curl({ url: gatewayURL(pathOf(dialect || "chat", routePath(row))), dialect, body }));
    setDone(true);
    setTimeout(() => setDone(false), 1600);
  };
  return <button type="button" class="button small" onClick={copy}><Icon name={done ? "check" : "copy"} /><span aria-live="polite">{done ? t.common.copied : t.requests.sheet.copyCurl}</span></button>;
}

function dialectOf(row: RequestRow): "chat" | "messages" | "responses" | "" {
  return row.operation === "chat" || row.operation === "messages" || row.operation === "responses" ? row.operation : "";
}

// The ledger has the name of a route; one that is no path is left to the reader.
const routePath = (row: RequestRow) => (row.route.startsWith("/") ? row.route : "/");

/** The address of a path of the gateway, below the prefix that the dashboard has. */
export function gatewayURL(path: string): string {
  return new URL(".." + path, document.baseURI.replace(/#.*/, "")).href;
}

export function OpenInPlayground({ row, available }: { row: RequestRow; available: boolean }) {
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const dialect = dialectOf(row);
  if (!available || dialect === "" || !me().features.playground) return null;
  const open = async () => {
    try {
      const content = last?.id === row.id ? last.content : await get<RequestContent>(contentPath(row.id));
      draft.value = { id: row.id, dialect, model: row.model, key: row.key, body: content.request };
      go("/playground");
    } catch (err) {
      if (!(err instanceof ApiFailure)) throw err;
      setFailure(err);
    }
  };
  return (
    <>
      <button type="button" class="button small" onClick={open}><Icon name="playground" />{t.requests.sheet.play}</button>
      <Failure failure={failure} />
    </>
  );
}
