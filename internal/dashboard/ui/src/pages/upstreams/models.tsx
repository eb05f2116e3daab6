// Models with what they cost. The holder of a key sees those of the key.
import { useMemo, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import type { Model } from "../../api/types";
import { href } from "../../router";
import { Check } from "../../components/field";
import { Empty } from "../../components/states";
import { type Column, CSV, Table } from "../../components/table";
import { Badge, LastHour, Name } from "../../components/values";
import { priceText } from "./price";
import "./upstreams.css";

export function ModelsTable({ models, all }: { models: Model[]; all?: boolean }) {
  const [text, setText] = useState("");
  const [unpriced, setUnpriced] = useState(false);
  const rows = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return models.filter((m) => {
      if (unpriced && m.price !== null) return false;
      const names = [m.id, ...m.aliases, ...m.routes].join("\n").toLowerCase();
      return words.every((w) => names.includes(w));
    });
  }, [models, text, unpriced]);
  const columns = columnsOf(all === true);
  if (models.length === 0) return <Empty icon="upstreams" title={t.upstreams.noModels} />;
  return (
    <>
      <div class="row table-tools">
        <input type="search" data-search class="grow" aria-label={t.upstreams.searchModels} placeholder={t.upstreams.searchModels} value={text} onInput={(e) => setText(e.currentTarget.value)} />
        <Check checked={unpriced} onChange={setUnpriced}>{t.upstreams.onlyUnpriced}</Check>
        <span class="muted small-text">{t.upstreams.countModels(rows.length, models.length)}</span>
        <CSV columns={columns} rows={rows} name="models" />
      </div>
      <Table columns={columns} rows={rows} rowKey={(m) => m.id} label={t.upstreams.tabModels} empty={<p class="muted body">–</p>} />
    </>
  );
}

// Prices are nano-dollars for a million tokens.
function columnsOf(all: boolean): Column<Model>[] {
  const price = (id: "input" | "output" | "cached", head: string): Column<Model> => ({
    id, head, num: true, title: t.upstreams.perMillion, minor: id === "cached",
    value: (m) => (m.price?.[id] == null ? null : m.price[id]! / 1e9),
    cell: (m) => (m.price ? priceText(m.price[id]) : id === "input" ? <span class="warn" title={t.upstreams.noPriceHelp}>{t.upstreams.noPrice}</span> : "–"),
  });
  const columns: Column<Model>[] = [
    {
      id: "model", head: t.upstreams.model, value: (m) => m.id,
      cell: (m) => (
        <span class="model-cell">
          <a href={href("/requests", { model: m.id, range: "7d" })}><Name>{m.id}</Name></a>
          {m.aliases.length > 0 && <span class="muted small-text">{t.upstreams.aliases}: <Name>{m.aliases.join(", ")}</Name></span>}
        </span>
      ),
    },
    { id: "routes", head: t.upstreams.routes, value: (m) => m.routes.join(" "), minor: true, cell: (m) => <span class="whole"><Name mono>{m.routes.join(", ")}</Name></span> },
    price("input", t.upstreams.input),
    price("output", t.upstreams.output),
    price("cached", t.upstreams.cached),
    { id: "context", head: t.upstreams.context, num: true, minor: true, value: (m) => m.context, cell: (m) => (m.context === null ? "–" : format.compact(m.context)) },
    { id: "max_output", head: t.upstreams.maxOutput, num: true, minor: true, value: (m) => m.max_output, cell: (m) => (m.max_output === null ? "–" : format.compact(m.max_output)) },
  ];
  if (all) {
    columns.push(
      { id: "source", head: t.upstreams.source, minor: true, value: (m) => m.price?.source ?? "", cell: (m) => (m.price ? <span class="model-cell"><Name>{m.price.source}</Name>{m.price.date && <span class="muted small-text whole">{m.price.date}</span>}</span> : "–") },
      {
        id: "limits", head: t.upstreams.limits, minor: true, value: (m) => m.rpm,
        cell: (m) => (m.rpm > 0 || m.tpm > 0 ? <span class="small-text">{t.upstreams.rpmTpm(m.rpm ? format.integer(m.rpm) : "–", m.tpm ? format.compact(m.tpm) : "–")}</span> : "–"),
      },
      { id: "fallbacks", head: t.upstreams.fallbacks, minor: true, value: (m) => (m.fallbacks ?? []).join(" "), cell: (m) => ((m.fallbacks ?? []).length > 0 ? <>{m.fallbacks.map((f) => <Badge key={f}><bdi dir="auto">{f}</bdi></Badge>)}</> : "–") },
    );
  }
  columns.push({ id: "used", head: t.upstreams.lastUsed, minor: true, value: (m) => m.last_used ?? "", cell: (m) => <LastHour at={m.last_used} /> });
  return columns;
}
