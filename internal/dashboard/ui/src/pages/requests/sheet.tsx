// The sheet of one request: why it was refused, where its time went, what it
// cost, and what was asked and answered, where the log policy keeps it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { RequestDetail, RequestRow } from "../../api/types";
import { useApi } from "../../api/use";
import { Sheet } from "../../components/dialog";
import { Filterable } from "../../components/filters";
import { Icon } from "../../components/icon";
import { Empty, Failure, Notice, Skeleton } from "../../components/states";
import { Badge, Copy, Duration, Name, Time, Tokens } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { setQuery } from "../../router";
import { Cost, Model, Status, statusTone } from "./columns";
import { Content, CopyCurl, OpenInPlayground } from "./content";
import { CostLines } from "./costlines";
import { Refusal } from "./refusal";
import { Timeline } from "./timelineview";

export function RequestSheet({ id, row, onClose, onNewer, onOlder }: {
  id: string;
  row: RequestRow | undefined; // as the list has it, until the answer comes
  onClose: () => void;
  onNewer?: () => void;
  onOlder?: () => void;
}) {
  const answer = useApi<RequestDetail>(`/requests/${encodeURIComponent(id)}`);
  const body = useRef<HTMLDivElement>(null);
  const texts = t.requests.sheet;
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || (e.target as Element).closest("input, textarea, select")) return;
      const move = e.key === "j" ? onOlder : e.key === "k" ? onNewer : undefined;
      if (!move) return;
      e.preventDefault();
      move();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [onNewer, onOlder]);
  useEffect(() => {
    body.current?.closest(".dialog-body")?.scrollTo(0, 0);
  }, [id]);

  const detail = answer.data?.request.id === id || (answer.data && !row) ? answer.data : null;
  const shown = detail?.request ?? row;
  const missing = answer.failure?.status === 404;
  return (
    <Sheet
      title={shown ? <><Badge tone={statusTone(shown.status)}>{shown.status || "…"}</Badge> <Name>{shown.model || shown.operation || texts.title}</Name></> : texts.title}
      onClose={onClose}
      wide
      actions={
        <>
          <button type="button" class="button quiet icon" disabled={!onNewer} onClick={onNewer} aria-label={texts.previous} title={texts.previous}><Icon name="up" /></button>
          <button type="button" class="button quiet icon" disabled={!onOlder} onClick={onOlder} aria-label={texts.next} title={texts.next}><Icon name="down" /></button>
        </>
      }
    >
      <div ref={body} class="request" key={id}>
        {missing ? (
          <Empty icon="search" title={id}>{texts.notFound}</Empty>
        ) : (
          <Failure failure={answer.failure} retry={answer.reload} />
        )}
        {!shown && answer.loading && <Skeleton lines={8} />}
        {shown && <Body row={shown} detail={detail} />}
      </div>
    </Sheet>
  );
}

function Body({ row, detail }: { row: RequestRow; detail: RequestDetail | null }) {
  const texts = t.requests.sheet;
  // The steps of a refusal stand in its sentence.
  const trail = (detail?.request.trail ?? []).filter((s) => !detail?.refusal || !["refused", "limit", "whose", "detail", "again"].includes(s.name));
  return (
    <>
      <div class="row">
        <Name mono>{row.id}</Name>
        <span class="grow" />
        <Copy text={row.id} label={texts.copyId} />
        <CopyCurl row={row} />
        <OpenInPlayground row={row} available={detail?.content === "available"} />
      </div>
      {detail?.open && <Notice>{texts.open}</Notice>}
      {detail?.refusal && <Refusal refusal={detail.refusal} />}
      <div class="sheet-figures">
        <Figure label={texts.cost}><Cost row={row} /></Figure>
        <Figure label={texts.tokens} title={row.estimated ? texts.estimated : undefined}>
          {row.estimated && "~ "}<Tokens n={row.input_tokens} /> <span class="muted">/</span> <Tokens n={row.output_tokens} />
        </Figure>
        <Figure label={texts.first}><Duration ms={row.first_token_ms || null} /></Figure>
        <Figure label={texts.total}><Duration ms={row.total_ms} /></Figure>
      </div>
      <Section title={texts.timeline}><Timeline row={detail?.request ?? row} /></Section>
      {trail.length > 0 && (
        <Section title={texts.trail}>
          <ol class="trail">
            {trail.map((s, i) => (
              <li key={i}>
                <span class="muted tabular">{s.at > 0 && format.duration(s.at / 1e6)}</span>
                <b dir="auto">{s.name}</b>
                <bdi dir="auto">{s.text}</bdi>
              </li>
            ))}
          </ol>
        </Section>
      )}
      {detail && <Section title={texts.costLines}><CostLines detail={detail} /></Section>}
      <Section title={texts.facts}><Facts row={row} /></Section>
      {detail && <Content id={row.id} state={detail.content} />}
    </>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Figure({ label, title, children }: { label: string; title?: string; children: ComponentChildren }) {
  return (
    <div title={title}>
      <div class="muted small-text">{label}</div>
      <div class="sheet-figure">{children}</div>
    </div>
  );
}

// Facts are what the row has besides; a click on a value filters the list.
function Facts({ row: r }: { row: RequestRow }) {
  const texts = t.requests.sheet;
  const names = t.requests.cols;
  const facts: [string, ComponentChildren][] = [[names.time, <Time at={r.time} />]];
  const add = (name: string, shown: unknown, value: ComponentChildren) => {
    if (shown) facts.push([name, value]);
  };
  add(names.status, r.status, <Status row={r} />);
  add(names.key, r.key, <Filterable name="key" value={r.key}><Name>{r.key_name || r.key}</Name></Filterable>);
  add(names.user, r.user, <Filterable name="user" value={r.user} />);
  add(names.session, r.session, <Filterable name="session" value={r.session} />);
  add(names.tags, r.tags?.length, (r.tags ?? []).map((tag) => <Filterable key={tag} name="tag" value={tag}><Badge><Name>{tag}</Name></Badge></Filterable>));
  add(names.model, r.model, <Model row={r} />);
  add(texts.alias, r.alias, <Name>{r.alias}</Name>);
  add(names.operation, r.operation, <Filterable name="operation" value={r.operation} />);
  add(names.route, r.route, <Filterable name="route" value={r.route} />);
  add(t.common.dimensions.upstream, r.upstream, <Filterable name="upstream" value={r.upstream} />);
  add(texts.slot, r.slot, <Name>{r.slot}</Name>);
  add(names.attempts, r.attempts, r.attempts);
  add(names.cache, r.cache, <Filterable name="cache" value={r.cache} />);
  add(names.finish, r.finish_reason, <Filterable name="finish" value={r.finish_reason} />);
  add(texts.tier, r.service_tier, <Name>{r.service_tier}</Name>);
  add(texts.stream, true, r.stream ? texts.yes : texts.no);
  add(texts.bytes, r.bytes_in + r.bytes_out, `${format.bytes(r.bytes_in)} / ${format.bytes(r.bytes_out)}`);
  return (
    <dl class="sheet-facts" onClick={(e) => (e.target as Element).closest(".filterable") && setQuery({ open: null })}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
