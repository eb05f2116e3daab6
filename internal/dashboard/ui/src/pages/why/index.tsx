// "Why was this refused?": the id of a refusal leads to the sentence that
// explains it.
import { useState } from "preact/hooks";
import type { RequestDetail } from "../../api/types";
import { useApi } from "../../api/use";
import { Empty, Failure, LedgerOff, Notice, Skeleton } from "../../components/states";
import { Badge, Name, Time } from "../../components/values";
import { t } from "../../i18n";
import { href, place, setQuery } from "../../router";
import { me } from "../../session";
import { statusTone } from "../requests/columns";
import { Refusal } from "../requests/refusal";
import "../requests/requests.css";

export default function Why() {
  const asked = place.value.query.get("id") ?? "";
  const [id, setID] = useState(asked);
  const answer = useApi<RequestDetail>(asked && me().features.ledger ? `/requests/${encodeURIComponent(asked)}` : null);
  const texts = t.requests;
  if (!me().features.ledger) return <LedgerOff page={t.requests.why} />;
  const look = (e: Event) => {
    e.preventDefault();
    setQuery({ id: id.trim() }, true);
    if (id.trim() === asked) answer.reload();
  };
  return (
    <>
      <header class="page-head"><h1>{texts.why}</h1></header>
      <form class="card ask" onSubmit={look}>
        <div class="row">
          <input class="grow mono" data-search aria-label={texts.whyPlaceholder} placeholder={texts.whyPlaceholder} value={id} autocomplete="off" spellcheck={false} maxLength={200} onInput={(e) => setID(e.currentTarget.value)} />
          <button class="button primary">{texts.whyGo}</button>
        </div>
        <p class="muted small-text">{texts.whyHint}</p>
      </form>
      {answer.failure?.status === 404 ? (
        <div class="card"><Empty icon="search" title={asked}>{texts.sheet.notFound}</Empty></div>
      ) : (
        <Failure failure={answer.failure} retry={answer.reload} />
      )}
      {answer.loading && asked && !answer.data && <Skeleton lines={3} />}
      {answer.data && !answer.failure && <Answered detail={answer.data} />}
    </>
  );
}

function Answered({ detail }: { detail: RequestDetail }) {
  const { request: r, refusal } = detail;
  const texts = t.requests;
  return (
    <>
      {refusal ? <Refusal refusal={refusal} /> : r.status < 400 ? <Notice tone="good">{texts.notRefused}</Notice> : <Notice tone="warn">{texts.failedElsewhere(r.cause)}</Notice>}
      <div class="card ask">
        <div class="row">
          <Badge tone={statusTone(r.status)}>{r.status}</Badge>
          <Name>{r.model || r.operation}</Name>
          <span class="muted"><Name>{r.key_name || r.key}</Name> · <Time at={r.time} /></span>
          <span class="grow" />
          <a class="button small" href={href("/requests", { open: r.id })}>{texts.openThis}</a>
        </div>
      </div>
    </>
  );
}
