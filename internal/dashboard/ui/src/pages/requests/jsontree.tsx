// JSON as text that folds. A folded part is not in the document, so that a large
// value costs what is seen of it.
import { useState } from "preact/hooks";
import * as format from "../../format";
import { t } from "../../i18n";
import { cut, mediaOf } from "./transcript.ts";

const pageOf = 100; // members drawn at once
const longText = 2_000;

export function JSONTree({ value }: { value: unknown }) {
  return <div class="json mono" dir="ltr"><Node value={value} depth={0} /></div>;
}

function Node({ name, value, depth }: { name?: string; value: unknown; depth: number }) {
  const [open, setOpen] = useState(depth < 2);
  const [shown, setShown] = useState(pageOf);
  const label = name === undefined ? null : <><span class="json-name"><bdi>{cut(name, 200).text}</bdi></span>: </>;
  if (value === null || typeof value !== "object") return <div class="json-line">{label}<Leaf value={value} /></div>;
  const members = Array.isArray(value) ? value.map((v, i) => [String(i), v] as const) : Object.entries(value);
  const [start, end] = Array.isArray(value) ? "[]" : "{}";
  if (members.length === 0) return <div class="json-line">{label}{start}{end}</div>;
  return (
    <div>
      <button type="button" class="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        {label}{start}{!open && <span class="muted"> {t.requests.content.items(format.integer(members.length))} {end}</span>}
      </button>
      {open && (
        <div class="json-in">
          {members.slice(0, shown).map(([n, v]) => <Node key={n} name={Array.isArray(value) ? undefined : n} value={v} depth={depth + 1} />)}
          {members.length > shown && (
            <button type="button" class="button small" onClick={() => setShown(shown + pageOf * 5)}>{t.requests.content.more(format.integer(members.length - shown))}</button>
          )}
        </div>
      )}
      {open && <div class="json-line">{end}</div>}
    </div>
  );
}

function Leaf({ value }: { value: unknown }) {
  const [all, setAll] = useState(false);
  if (typeof value !== "string") return <span class="json-word">{String(value)}</span>;
  const media = mediaOf(value);
  if (media) return <span class="muted">{media}</span>;
  const part = cut(value, all ? undefined : longText);
  return (
    <>
      <bdi dir="auto" class="json-text">{JSON.stringify(part.text).slice(0, part.left ? -1 : undefined)}</bdi>
      {part.left > 0 && (all ? <span class="muted"> … {t.requests.content.cut(format.integer(part.left))}</span> : <button type="button" class="button small" onClick={() => setAll(true)}>{t.requests.content.more(format.integer(part.left))}</button>)}
    </>
  );
}
