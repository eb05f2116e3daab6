// "Why was this refused?" as a sentence: which limit, whose, and when it goes
// again.
import type { RequestDetail } from "../../api/types";
import { Icon } from "../../components/icon";
import { Time } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";

export function Refusal({ refusal: r }: { refusal: NonNullable<RequestDetail["refusal"]> }) {
  const texts = t.requests.refusal;
  const limit = texts.limits[r.limit] ?? texts.otherLimit(r.limit || r.code);
  const [kind, ...name] = r.scope.split(" ");
  const whose = texts.kinds[kind ?? ""];
  const passed = r.retry_at !== null && Date.parse(r.retry_at) <= Date.now();
  return (
    <section class="refusal" aria-label={texts.title}>
      <Icon name="warning" />
      <div class="grow">
        <h3>{texts.title}</h3>
        <p class="sentence">
          {r.scope ? texts.sentence(limit, [whose ?? kind, ...(whose ? name : [])].join(" ").trim() + (whose ? "" : " " + name.join(" "))) : limit}
          {r.detail && <>: <b dir="auto">{r.detail}</b></>}
        </p>
        <p>
          {r.retry_at === null ? texts.noTime : passed ? texts.passed(format.dateTime(r.retry_at)) : texts.again(format.dateTime(r.retry_at), format.relative(r.retry_at))}
          {r.retry_at !== null && <span class="hidden"><Time at={r.retry_at} /></span>}
        </p>
        <details>
          <summary>{texts.answer}</summary>
          <p lang="en"><code>{r.code}</code> <bdi dir="auto">{r.message}</bdi></p>
        </details>
      </div>
    </section>
  );
}
