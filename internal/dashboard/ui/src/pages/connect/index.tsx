// The first page of a key's holder: how to point a program at the gateway, and
// what the key may do, in sentences.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { useApi } from "../../api/use";
import type { BudgetView, Me, Model } from "../../api/types";
import { href } from "../../router";
import { session } from "../../session";
import { Budget } from "../../components/bar";
import { Icon } from "../../components/icon";
import { Loaded } from "../../components/states";
import { Code, Money, Name } from "../../components/values";
import { RotateDialog } from "../keys/actions";
import { parseBudget } from "../keys/budgets";
import { Recipes } from "../keys/secret";
import { ModelsTable } from "../upstreams/models";
import "../../styles/parts.css";
import "../keys/keys.css";
import "./connect.css";

export default function ConnectPage() {
  const me = useApi<Me>("/me");
  const models = useApi<{ models: Model[] }>("/models");
  return (
    <>
      <div class="page-head">
        <h1>{t.connect.title}</h1>
        {me.data && <span class="sub"><Name>{me.data.name}</Name></span>}
      </div>
      <Loaded answer={me}>
        {(m) => (
          <>
            <div class="connect-columns">
              <Addresses base={m.base_url} />
              <Limits of={m} reload={me.reload} />
            </div>
            <Recipes secret={null} base={m.base_url} note={t.connect.placeholder} />
          </>
        )}
      </Loaded>
      <section class="card">
        <header><h2>{t.connect.models}</h2></header>
        <Loaded answer={models}>{(m) => <ModelsTable models={m.models} />}</Loaded>
      </section>
    </>
  );
}

function Addresses({ base }: { base: string }) {
  const list = [[t.connect.openai, base + "/v1"], [t.connect.anthropic, base + "/anthropic"], [t.connect.gemini, base + "/gemini"]] as const;
  return (
    <section class="card">
      <header><h2>{t.connect.baseUrl}</h2></header>
      <div class="body grid tight">
        <p class="muted">{t.connect.baseUrlHelp}</p>
        <Code text={base} label={t.connect.baseUrl} />
        <h3>{t.connect.addresses}</h3>
        {list.map(([name, address]) => (
          <div key={name} class="address"><span class="muted">{name}</span><Code text={address} label={name} /></div>
        ))}
      </div>
    </section>
  );
}

function Limits({ of: m, reload }: { of: Me; reload: () => void }) {
  const [rotating, setRotating] = useState(false);
  return (
    <section class="card">
      <header>
        <h2>{t.connect.limits}</h2>
        {m.may_rotate && <button type="button" class="button small" title={t.connect.rotateHelp} onClick={() => setRotating(true)}><Icon name="refresh" />{t.connect.rotate}</button>}
      </header>
      <div class="body grid tight">
        <ul class="sentences">{sentences(m).map((s) => <li key={s}><bdi dir="auto">{s}</bdi></li>)}</ul>
        {m.budgets.map((b) => <Budget key={b.tag + b.budget} budget={b} />)}
        {session.value!.features.ledger && (
          <p class="row used">
            <span class="muted">{t.connect.used}</span>
            <span><a href={href("/requests", { range: "today" })}><Money nano={m.used.day.cost_nano_usd} /></a> {t.connect.today}</span>
            <span><a href={href("/requests", { range: "month" })}><Money nano={m.used.month.cost_nano_usd} /></a> {t.connect.month}</span>
            <a href={href("/usage")}>{t.connect.usage}</a>
          </p>
        )}
      </div>
      {rotating && <RotateDialog of={m} own onClose={() => { setRotating(false); reload(); }} />}
    </section>
  );
}

/** The limits of a key as sentences. */
export function sentences(m: Me): string[] {
  const s = t.connect.sentence;
  const { models, routes, rpm, tpm, parallel } = m.limits;
  const list = [models.length > 0 ? s.someModels(models.join(", ")) : m.level > 0 ? s.level(m.level) : s.allModels];
  if (routes.length > 0) list.push(s.someRoutes(routes.join(", ")));
  if (rpm > 0) list.push(s.rpm(format.integer(rpm)));
  if (tpm > 0) list.push(s.tpm(format.integer(tpm)));
  if (parallel > 0) list.push(s.parallel(format.integer(parallel)));
  if (rpm === 0 && tpm === 0 && parallel === 0) list.push(s.unlimited);
  if (m.budgets.length === 0) list.push(s.noBudget);
  for (const b of m.budgets) list.push(budgetSentence(b));
  list.push(m.expires ? s.expires(format.dateTime(m.expires), format.relative(m.expires)) : s.noExpiry);
  return list;
}

function budgetSentence(b: BudgetView): string {
  const s = t.connect.sentence;
  const amount = (n: number) => format.budgetAmount(n, b.unit) + (b.unit === "tokens" ? " " + t.keys.unit.tokens : "");
  const period = t.keys.period[parseBudget(b.budget)?.period ?? "total"] ?? "";
  const text = b.tag ? s.budgetTag(b.tag, amount(b.spent), amount(b.limit), period) : s.budget(amount(b.spent), amount(b.limit), period);
  return b.reset ? text + " " + s.resets(format.dateTime(b.reset)) : text;
}
