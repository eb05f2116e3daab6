// "Why was this refused?" as a sentence: which limit, whose, and when it goes
// again.
import type { RequestDetail } from "../../api/types";
import { Icon } from "../../components/icon";
import * as format from "../../format";
import { t } from "../../i18n";

type Why = NonNullable<RequestDetail["refusal"]>;

// The refusals that end by themselves, though it is not known when.
const passing = ["upstream", "queue", "gateway", "parallel"];

export function Refusal({ refusal: r }: { refusal: Why }) {
  const texts = t.requests.refusal;
  const title = r.limit === "upstream" ? texts.failed : texts.title;
  return (
    <section class="refusal" aria-label={title}>
      <Icon name="warning" />
      <div class="grow">
        <p class="why-title">{title}</p>
        <p class="sentence">
          <bdi dir="auto">{sentence(r)}</bdi>
          {r.detail && <span class="detail"> — <bdi dir="auto">{r.detail}</bdi></span>}
        </p>
        <p>{again(r)}</p>
        <details>
          <summary>{texts.answer}</summary>
          <p lang="en"><code>{r.code}</code> <bdi dir="auto">{r.message}</bdi></p>
        </details>
      </div>
    </section>
  );
}

function sentence(r: Why): string {
  const texts = t.requests.refusal;
  const known = Object.hasOwn(texts.sentences, r.limit) ? texts.sentences[r.limit] : undefined;
  return known ? known(whose(r.scope)) : texts.other(r.limit || r.code, whose(r.scope));
}

// whose translates the scope of a limit, such as "key alice"; the name stays.
function whose(scope: string): string {
  const texts = t.requests.refusal;
  if (scope === "the gateway") return texts.gateway;
  if (scope === "the request") return texts.request;
  const [kind = "", ...name] = scope.split(" ");
  return name.length > 0 && Object.hasOwn(texts.kinds, kind) ? `${texts.kinds[kind]} ${name.join(" ")}` : scope;
}

function again(r: Why): string {
  const texts = t.requests.refusal;
  if (r.retry_at === null) return passing.includes(r.limit) ? texts.soon : texts.noTime;
  const at = format.dateTime(r.retry_at);
  return Date.parse(r.retry_at) <= Date.now() ? texts.passed(at) : texts.again(at, format.relative(r.retry_at));
}
