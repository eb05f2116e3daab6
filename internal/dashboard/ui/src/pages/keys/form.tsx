// The settings of a key as a form: the common ones in sight, all others below
// "More settings".
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { t } from "../../i18n";
import { useApi } from "../../api/use";
import type { KeyView, Model, Upstream } from "../../api/types";
import type { Fields } from "./changes";
import type { Problems } from "./problems";
import { BudgetsField, ChoiceField, ExpiryField, NumberField, PatternField, TextField, hint, label } from "./editor";
import { Field } from "../../components/field";

interface KeyField {
  name: string;
  usage: string;
}

const shown = ["name", "expires", "budget", "models", "routes", "rpm", "tpm", "parallel", "log", "cache", "tags", "ips"];

const choices: Record<string, readonly string[]> = {
  log: ["full", "redacted", "meta", "off"],
  cache: ["key", "shared"],
  "unknown-price": ["deny", "allow"],
  overrun: ["deny", "allow"],
  ephemeral: ["deny", "allow"],
  objects: ["own", "all"],
  credentials: ["client"],
  "unknown-operations": ["deny", "allow"],
  "count-list": ["true"],
  "set-user": ["true"],
};

/** useKnown returns the models and routes that a list of patterns can match. */
export function useKnown() {
  const models = useApi<{ models: Model[] }>("/models");
  const upstreams = useApi<{ upstreams: Upstream[] }>("/upstreams");
  const known = useMemo(() => (models.data?.models ?? []).map((m) => ({ name: m.id })), [models.data]);
  const routes = useMemo(() => (upstreams.data?.upstreams ?? []).map((u) => ({ name: u.name || u.route, also: u.route })), [upstreams.data]);
  return { models: known, routes };
}

/** The fields of a form. of is the key that is edited. */
export function KeyFields({ fields, setFields, problems, of, foot }: {
  fields: Fields;
  setFields: (change: (fields: Fields) => Fields) => void;
  problems: Problems;
  of?: KeyView;
  /** The buttons. They come after the first card in the order of the keyboard,
   *  because name and budget are often all that is set, and stay in sight. */
  foot: ComponentChildren;
}) {
  const all = useApi<{ fields: KeyField[] }>("/keys/fields");
  const known = useKnown();
  const control = (name: string) => ({
    name,
    value: fields[name] ?? "",
    problem: problems.fields[name],
    onChange: (text: string) => setFields((f) => ({ ...f, [name]: text })),
  });
  const rest = (all.data?.fields ?? []).filter((f) => !shown.includes(f.name));
  const set = rest.filter((f) => (fields[f.name] ?? "") !== "").length;
  return (
    <div class="grid key-form">
      <section class="card">
        <header><h2>{t.keys.form.who}</h2></header>
        <div class="body form-columns">
          <TextField {...control("name")} required focus={!of} placeholder="alice" />
          <BudgetsField value={fields.budget ?? ""} onChange={control("budget").onChange} problem={problems.fields.budget} />
          <ExpiryField {...control("expires")} now={of?.fields.expires ?? (of ? "" : undefined)} until={of?.expires} />
          <TextField {...control("tags")} placeholder="team=search" />
        </div>
      </section>
      <div class="form-foot">{foot}</div>
      <section class="card">
        <header><h2>{t.keys.form.what}</h2></header>
        <div class="body grid">
          <PatternField {...control("models")} things={known.models} empty={t.keys.form.matchesAll} />
          <PatternField {...control("routes")} things={known.routes} empty={() => t.keys.form.allRoutes} />
          <div class="form-columns">
            <NumberField {...control("rpm")} />
            <NumberField {...control("tpm")} />
            <NumberField {...control("parallel")} />
            <TextField {...control("ips")} placeholder="10.0.0.0/8" />
          </div>
        </div>
      </section>
      <section class="card">
        <header><h2>{t.keys.form.stored}</h2></header>
        <div class="body form-columns">
          <ChoiceField {...control("log")} words={choices.log!} help={t.keys.form.logHelp} />
          <ChoiceField {...control("cache")} words={choices.cache!} help={t.keys.form.cacheHelp} />
        </div>
      </section>
      {rest.length > 0 && (
        <details class="card more-settings" open={rest.some((f) => problems.fields[f.name])}>
          <summary>{t.keys.form.more}{set > 0 && <span class="badge accent">{t.keys.form.moreCount(set)}</span>}</summary>
          <div class="body form-columns">
            {rest.map((f) => <Other key={f.name} field={f} control={control(f.name)} />)}
          </div>
        </details>
      )}
    </div>
  );
}

type Controlled = { name: string; value: string; problem?: string; onChange: (text: string) => void };

// Other is the control of a setting that this page has no place for. A setting
// that it does not know has the gateway's own words.
function Other({ field, control }: { field: KeyField; control: Controlled }) {
  const words = choices[field.name];
  if (words) return <ChoiceField {...control} words={words} />;
  if (field.name === "level") return <NumberField {...control} />;
  if (field.name === "priority") return <NumberField {...control} min={-100} />;
  return (
    <Field label={label(field.name)} hint={hint(field.name) ?? field.usage} problem={control.problem}>
      <input name={field.name} value={control.value} autocomplete="off" spellcheck={false} onInput={(e) => control.onChange(e.currentTarget.value)} />
    </Field>
  );
}
