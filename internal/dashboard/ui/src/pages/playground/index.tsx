// The page Playground: a request by hand, through the same pipeline as one of a
// program, with one model or two side by side.
import { useEffect, useRef, useState } from "preact/hooks";
import { apiURL } from "../../api/client";
import type { KeyView, Model } from "../../api/types";
import { useApi } from "../../api/use";
import { Check, Field } from "../../components/field";
import { Icon } from "../../components/icon";
import { Empty, Failure, Notice } from "../../components/states";
import { Segments } from "../../components/tabs";
import { t } from "../../i18n";
import { isAdministrator, me } from "../../session";
import type { Dialect } from "./answer.ts";
import { Column } from "./column";
import { draft } from "./draft";
import { bodyOf, emptyForm, extraOf, formOf, guessDialect, pathOf, type Form } from "./form.ts";
import { newRun, play, type Run } from "./run.ts";
import { Turns } from "./turns";
import "./playground.css";

interface State {
  form: Form;
  models: [string, string]; // of the two columns
  two: boolean;
  key: string;
  from: string; // the request that the form was taken from
}

// What is written stays while the page is left, in memory only.
let kept: State = { form: emptyForm(), models: ["", ""], two: false, key: "", from: "" };

export default function Playground() {
  if (!me().features.playground) return <Empty icon="playground" title={t.playground.off}>{t.playground.offHint}</Empty>;
  return <Page />;
}

function Page() {
  const [state, setState] = useState<State>(() => {
    const d = draft.value;
    if (!d) return kept;
    draft.value = null;
    return { form: formOf(d.dialect, d.body), models: [d.model, ""], two: false, key: d.key, from: d.id };
  });
  kept = state;
  const change = (changes: Partial<State>) => setState((s) => ({ ...s, ...changes }));
  const form = (changes: Partial<Form>) => setState((s) => ({ ...s, form: { ...s.form, ...changes } }));
  const models = useApi<{ models: Model[] }>("/models");
  const keys = useApi<{ keys: KeyView[] }>(isAdministrator() ? "/keys" : null, { limit: 1000 });
  const active = keys.data?.keys.filter((k) => k.state === "active" && !k.pending) ?? [];
  const key = isAdministrator() ? (active.some((k) => k.id === state.key) ? state.key : active.length === 1 ? active[0]!.id : "") : "";
  const list = models.data?.models ?? [];
  const runs = useRuns();
  const [problem, setProblem] = useState("");
  const texts = t.playground;
  const path = state.form.path || pathOf(state.form.dialect, prefixOf(list, state.models[0]));
  const used: string[] = state.two ? state.models : [state.models[0]];

  const send = () => {
    const last = state.form.turns.some((turn) => turn.text !== "") || state.form.extra.includes('"messages"') || state.form.extra.includes('"input"');
    const missing = used.some((m) => m.trim() === "") ? texts.needModel : !last ? texts.needMessage : isAdministrator() && !key ? texts.needKey : "";
    setProblem(missing);
    if (missing || extraOf(state.form.extra) === null) return;
    used.forEach((model, i) => {
      const own = state.form.path || pathOf(state.form.dialect, prefixOf(list, model));
      runs.start(i, { url: apiURL("/play" + own), dialect: state.form.dialect, body: bodyOf(state.form, model.trim()), key });
    });
  };
  const chooseModel = (i: number, model: string) => {
    const next: [string, string] = i === 0 ? [model, state.models[1]] : [state.models[0], model];
    const known = list.find((m) => m.id === model);
    setState((s) => ({ ...s, models: next, form: known && i === 0 && s.from === "" ? { ...s.form, dialect: guessDialect(known.routes, known.id), path: "" } : s.form }));
  };
  const extraProblem = extraOf(state.form.extra) === null ? texts.extraProblem : undefined;
  const busy = runs.list.some((r) => r && (r.state === "waiting" || r.state === "streaming"));

  return (
    <>
      <header class="page-head">
        <h1>{texts.title}</h1>
        <Segments label={texts.compare} value={state.two ? "two" : "one"} onChange={(v) => change({ two: v === "two" })} options={[{ value: "one", text: texts.single }, { value: "two", text: texts.compare }]} />
      </header>
      <p class="muted small-text">{texts.intro}</p>
      {state.from && <Notice>{texts.draft(state.from)}</Notice>}
      <Failure failure={models.failure ?? keys.failure} retry={() => { models.reload(); keys.reload(); }} />
      <div class="play">
        <form class="card play-form" onSubmit={(e) => { e.preventDefault(); send(); }} onKeyDown={(e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); send(); } }}>
          <datalist id="play-models">{list.slice(0, 1000).map((m) => <option key={m.id} value={m.id} />)}</datalist>
          {used.map((model, i) => (
            <Field key={i} label={state.two ? `${texts.model} ${i + 1}` : texts.model}>
              <input list="play-models" value={model} placeholder={list[0]?.id ?? texts.modelHint} autocomplete="off" spellcheck={false} onInput={(e) => chooseModel(i, e.currentTarget.value)} />
            </Field>
          ))}
          {isAdministrator() && (
            <Field label={texts.key} hint={keys.data && active.length === 0 ? texts.noKeys : texts.keyHint}>
              <select value={key} onChange={(e) => change({ key: e.currentTarget.value })}>
                <option value="">{texts.chooseKey}</option>
                {active.map((k) => <option key={k.id} value={k.id}>{k.name || k.id}</option>)}
              </select>
            </Field>
          )}
          <Field label={texts.system}>
            <textarea rows={2} value={state.form.system} placeholder={texts.systemPlaceholder} onInput={(e) => form({ system: e.currentTarget.value })} />
          </Field>
          <Turns turns={state.form.turns} onChange={(turns) => form({ turns })} />
          <details>
            <summary>{texts.parameters}</summary>
            <div class="play-parameters">
              <Field label={texts.form}>
                <select value={state.form.dialect} onChange={(e) => form({ dialect: e.currentTarget.value as Dialect, path: "" })}>
                  {(Object.keys(texts.forms) as Dialect[]).map((d) => <option key={d} value={d}>{texts.forms[d]}</option>)}
                </select>
              </Field>
              <Field label={texts.path}>
                <input class="mono" value={path} spellcheck={false} onInput={(e) => form({ path: e.currentTarget.value })} />
              </Field>
              <Field label={texts.temperature}>
                <input inputMode="decimal" value={state.form.temperature} onInput={(e) => form({ temperature: e.currentTarget.value })} />
              </Field>
              <Field label={texts.maxTokens}>
                <input inputMode="numeric" value={state.form.maxTokens} onInput={(e) => form({ maxTokens: e.currentTarget.value })} />
              </Field>
              <Field label={texts.extra} hint={texts.extraHint} problem={extraProblem}>
                <textarea rows={3} value={state.form.extra} spellcheck={false} onInput={(e) => form({ extra: e.currentTarget.value })} />
              </Field>
            </div>
          </details>
          <div class="row">
            <Check checked={state.form.stream} onChange={(stream) => form({ stream })}>{texts.stream}</Check>
            <Check checked={state.form.caching} onChange={(caching) => form({ caching })}>{texts.caching}</Check>
          </div>
          {problem && <p class="bad small-text" role="alert">{problem}</p>}
          <div class="row">
            {busy ? (
              <button type="button" class="button danger" onClick={runs.stop}><Icon name="stop" />{texts.stop}</button>
            ) : (
              <button class="button primary" title={texts.sendHint}><Icon name="play" />{texts.send}</button>
            )}
            <button type="button" class="button quiet" disabled={busy} onClick={() => { setState({ ...state, form: emptyForm(), from: "" }); runs.clear(); }}>{texts.clear}</button>
          </div>
        </form>
        <div class={`play-answers${state.two ? " two" : ""}`}>
          {used.map((model, i) => (
            <Column key={i} run={runs.list[i] ?? null} title={state.two ? model || texts.column(i + 1) : texts.answer}
              call={{ path: state.form.path || pathOf(state.form.dialect, prefixOf(list, model)), dialect: state.form.dialect, body: bodyOf(state.form, model || "…") }}
              onContinue={busy ? undefined : (text) => form({ turns: [...state.form.turns.filter((turn) => turn.text !== ""), { role: "assistant", text }, { role: "user", text: "" }] })} />
          ))}
        </div>
      </div>
    </>
  );
}

// prefixOf is the path of the first route that has a model.
function prefixOf(models: Model[], id: string): string {
  const route = models.find((m) => m.id === id)?.routes.find((r) => r.startsWith("/"));
  return route ?? "/";
}

// useRuns keeps the run of each column and draws a copy of it at most every
// 80 ms, slower while a long answer comes. It is a copy, because a component is
// drawn again only where its properties are other ones.
function useRuns() {
  const [, draw] = useState(0);
  const runs = useRef<(Run | null)[]>([]);
  const abort = useRef<AbortController | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => {
    abort.current?.abort();
    clearTimeout(timer.current);
  }, []);
  const soon = () => {
    if (timer.current !== undefined) return;
    const long = runs.current.some((r) => r && r.answer.text.length > 20_000);
    timer.current = setTimeout(() => {
      timer.current = undefined;
      draw((n) => n + 1);
    }, long ? 500 : 80);
  };
  return {
    list: runs.current.map((r) => r && { ...r, answer: { ...r.answer } }),
    start: (i: number, call: Parameters<typeof play>[0]) => {
      if (i === 0) abort.current = new AbortController();
      const run = newRun();
      runs.current[i] = run;
      void play(call, run, soon, abort.current!.signal);
      soon();
    },
    stop: () => abort.current?.abort(),
    clear: () => {
      runs.current.length = 0;
      draw((n) => n + 1);
    },
  };
}
