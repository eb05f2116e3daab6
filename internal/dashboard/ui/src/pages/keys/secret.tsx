// A secret that is shown once, and what can be done with it. The secret lives
// in the memory of the page that made it: nothing stores it, and the addresses
// of other programs are made at the click that opens them.
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { get } from "../../api/client";
import type { Handover } from "../../api/types";
import { Notice } from "../../components/states";
import { Code, Copy } from "../../components/values";
import { Icon } from "../../components/icon";
import { blocks, ccSwitch, cherryStudio, fill, pieces, type SwitchApp } from "./snippets";

export interface Recipe {
  id: string;
  name: string;
  kind: string;
  text: string;
}

/** The secret, with a button that copies it, and the snippets. */
export function Secret({ secret, base, own }: { secret: string; base: string; own?: boolean }) {
  return (
    <div class="grid">
      <SecretText secret={secret} />
      <Recipes secret={secret} bearer={own ? secret : undefined} base={base} />
    </div>
  );
}

/** The secret alone. */
export function SecretText({ secret }: { secret: string }) {
  const [visible, setVisible] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.querySelector<HTMLButtonElement>("button.primary")?.focus(), []);
  return (
    <section class="card secret" ref={box}>
      <div class="body">
        <Notice tone="warn">{t.keys.result.once}</Notice>
        <div class="secret-line">
          <output class="mono secret-text" data-secret>{visible ? secret : secret.slice(0, 3) + "•".repeat(20)}</output>
          <Copy text={secret} label={t.keys.result.copy} small={false} primary />
          <button type="button" class="button quiet" onClick={() => setVisible(!visible)}>{visible ? t.keys.result.hide : t.keys.result.show}</button>
        </div>
      </div>
    </section>
  );
}

/** The recipes of the clients, with the secret in them, or with a placeholder. */
export function Recipes({ secret, bearer, base, note }: { secret: string | null; bearer?: string; base: string; note?: string }) {
  const [list, setList] = useState<Recipe[] | null>(null);
  const [failed, setFailed] = useState(false);
  const [chosen, setChosen] = useState("");
  useEffect(() => {
    const abort = new AbortController();
    // The hand-over page has no session: the key that it made asks for itself.
    const headers: Record<string, string> = bearer ? { Authorization: "Bearer " + bearer } : {};
    get<{ recipes: Recipe[] }>("/recipes", {}, { headers, signal: abort.signal }).then(
      (answer) => setList(answer.recipes),
      () => abort.signal.aborted || setFailed(true),
    );
    return () => abort.abort();
  }, [bearer]);
  if (failed) return <Notice tone="warn">{t.keys.result.noRecipes}</Notice>;
  if (!list || list.length === 0) return null;
  const recipe = list.find((r) => r.id === chosen) ?? list[0]!;
  const kinds = [...new Set(list.map((r) => r.kind))];
  return (
    <section class="card recipes">
      <header>
        <h2>{t.keys.result.snippets}</h2>
        <span class="muted small-text">{secret === null ? note : t.keys.result.snippetsHelp}</span>
      </header>
      <div class="body grid">
        <div class="recipe-choice">
          {kinds.map((kind) => (
            <div key={kind} class="recipe-kind">
              <span class="muted small-text">{t.keys.result.kinds[kind] ?? kind}</span>
              <div class="picks" role="group" aria-label={t.keys.result.kinds[kind] ?? kind}>
                {list.filter((r) => r.kind === kind).map((r) => (
                  <button key={r.id} type="button" class="pick" aria-pressed={r.id === recipe.id} onClick={() => setChosen(r.id)}>{r.name}</button>
                ))}
              </div>
            </div>
          ))}
        </div>
        <RecipeText key={recipe.id} text={fill(recipe.text, secret)} />
        {secret !== null && <OpenIn secret={secret} base={base} />}
      </div>
    </section>
  );
}

function RecipeText({ text }: { text: string }) {
  return (
    <div class="grid tight recipe-text" lang="en">
      {blocks(text).map((b, i) => (b.type === "code" ? <Code key={i} text={b.text} /> : <Paragraphs key={i} text={b.text} />))}
    </div>
  );
}

// Paragraphs shows prose of a recipe: lists, `code` and links, all as nodes.
function Paragraphs({ text }: { text: string }) {
  return (
    <>
      {text.split(/\n{2,}/).map((paragraph, i) => {
        const lines = paragraph.split(/\n(?=- )/);
        if (!paragraph.startsWith("- ")) return <p key={i} class="small-text">{inline(paragraph.replace(/\n/g, " "))}</p>;
        return <ul key={i} class="plain-list small-text">{lines.map((line, j) => <li key={j}>{inline(line.slice(2).replace(/\n\s*/g, " "))}</li>)}</ul>;
      })}
    </>
  );
}

function inline(text: string) {
  return pieces(text).map((p, i) =>
    p.link ? <a key={i} href={p.link} target="_blank" rel="noreferrer noopener">{p.text}</a> : p.code ? <code key={i}>{p.text}</code> : p.text,
  );
}

// OpenIn offers the programs of this machine that take a key by an address of
// their own.
function OpenIn({ secret, base }: { secret: string; base: string }) {
  const open = (address: string) => () => {
    const link = document.createElement("a");
    link.href = address;
    link.rel = "noreferrer noopener";
    link.click();
  };
  const apps: [SwitchApp, string][] = [["claude", t.keys.result.ccClaude], ["codex", t.keys.result.ccCodex], ["gemini", t.keys.result.ccGemini]];
  return (
    <div class="grid tight open-in">
      <h3>{t.keys.result.openIn}</h3>
      <div class="row">
        <button type="button" class="button small" data-open="cherrystudio" onClick={open(cherryStudio(base, secret))}><Icon name="external" />{t.keys.result.cherry}</button>
        {apps.map(([app, text]) => (
          <button key={app} type="button" class="button small" data-open={"ccswitch-" + app} onClick={open(ccSwitch(app, base, secret))}><Icon name="external" />{text}</button>
        ))}
      </div>
      <p class="muted small-text">{t.keys.result.openHelp}</p>
    </div>
  );
}

/** A hand-over link, shown once too. */
export function HandoverLink({ handover, name }: { handover: Handover; name: string }) {
  const link = handoverAddress(handover.path);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.querySelector<HTMLButtonElement>("button.primary")?.focus(), []);
  return (
    <section class="card secret" ref={box}>
      <header><h2>{t.keys.result.linkTitle(name)}</h2></header>
      <div class="body grid tight">
        <div class="secret-line">
          <output class="mono secret-text" data-link>{link}</output>
          <Copy text={link} label={t.keys.result.linkCopy} small={false} primary />
        </div>
        <p>{t.keys.result.linkOnce}</p>
        <p class="muted small-text">{t.keys.result.linkUntil(format.dateTime(handover.until))}</p>
        <p class="muted small-text">{t.keys.result.linkPlain}</p>
      </div>
    </section>
  );
}

function handoverAddress(path: string): string {
  return document.baseURI.replace(/#.*/, "").replace(/\?.*/, "") + path;
}

/** The address of the gateway, as this browser reached its dashboard. */
export function gatewayBase(): string {
  return new URL("../", document.baseURI.replace(/[?#].*/, "")).href.replace(/\/$/, "");
}
