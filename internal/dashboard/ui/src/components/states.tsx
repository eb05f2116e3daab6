// What stands where there is no data: loading, nothing yet, a failure.
import { Component, type ComponentChildren } from "preact";
import { t } from "../i18n";
import type { Answer } from "../api/use";
import type { ApiFailure } from "../api/client";
import { errorText, hasDetail } from "../api/errors";
import { Icon, type IconName } from "./icon";
import type { Tone } from "./values";

/** An empty list. The children say what to do next. */
export function Empty({ icon = "info", title, children }: { icon?: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children && <div class="muted">{children}</div>}
    </div>
  );
}

/** A notice across the page. */
export function Notice({ tone = "accent", children, action }: { tone?: Exclude<Tone, "">; children: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <Icon name={tone === "good" ? "check" : tone === "accent" ? "info" : "warning"} />
      <div class="grow">{children}</div>
      {action}
    </div>
  );
}

/** A failure of the API, with a button that tries again. */
export function Failure({ failure, retry }: { failure: ApiFailure | null; retry?: () => void }) {
  if (!failure) return null;
  return (
    <Notice tone="bad" action={retry && <button type="button" class="button small" onClick={retry}>{t.common.retry}</button>}>
      <div>{errorText(failure)}</div>
      {hasDetail(failure) && (
        <details class="small-text">
          <summary>{t.common.details}</summary>
          <bdi dir="auto" lang="en">{failure.message}</bdi>
        </details>
      )}
    </Notice>
  );
}

/** Loaded shows the failure, a placeholder, or the children with the data. */
export function Loaded<T>({ answer, children }: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      <Failure failure={answer.failure} retry={answer.reload} />
      {answer.data !== null ? children(answer.data) : !answer.failure && <Skeleton />}
    </>
  );
}

export function Skeleton({ lines = 5 }: { lines?: number }) {
  return (
    <div class="skeleton" aria-busy="true">
      <span class="hidden">{t.common.loading}</span>
      {Array.from({ length: lines }, (_, i) => <div key={i} />)}
    </div>
  );
}

/** A page that needs the ledger, without one. */
export function LedgerOff({ page }: { page: string }) {
  return (
    <>
      <header class="page-head"><h1>{page}</h1></header>
      <Empty icon="usage" title={t.common.ledgerOff}>{t.common.ledgerOffHint}</Empty>
    </>
  );
}

/** A fault in a page leaves the rest of the dashboard usable. */
export class Boundary extends Component<{ children: ComponentChildren; name: string }, { fault: Error | null }> {
  override state = { fault: null as Error | null };
  override componentDidCatch(fault: Error) {
    console.error(fault);
    this.setState({ fault });
  }
  override componentDidUpdate(before: { name: string }) {
    if (before.name !== this.props.name && this.state.fault) this.setState({ fault: null });
  }
  override render() {
    if (!this.state.fault) return this.props.children;
    return (
      <Empty icon="warning" title={t.common.fault}>
        <p>{t.common.faultHint}</p>
        <pre class="small-text" lang="en">{String(this.state.fault.message)}</pre>
        <p><button type="button" class="button" onClick={() => location.reload()}>{t.common.reloadPage}</button></p>
      </Empty>
    );
  }
}
