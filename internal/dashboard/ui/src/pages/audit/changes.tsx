// What an action changed, field by field.
import { t } from "../../i18n";

export interface Change {
  name: string;
  before: string | null; // null: there was nothing
  after: string | null;
}

// Fields that change with every write and say nothing.
const noise = new Set(["updated", "version", "last_used"]);

/** changesOf compares two values of the API. */
export function changesOf(before: unknown, after: unknown): Change[] {
  const from = flat(before);
  const to = flat(after);
  const names = [...new Set([...from.keys(), ...to.keys()])].filter((name) => !noise.has(name));
  return names.filter((name) => from.get(name) !== to.get(name)).map((name) => ({ name, before: from.get(name) ?? null, after: to.get(name) ?? null }));
}

// flat has the values of an object by their path; empty ones are left out.
function flat(value: unknown, path = "", into = new Map<string, string>()): Map<string, string> {
  if (value === null || value === undefined || value === "") return into;
  if (Array.isArray(value) && value.every((v) => typeof v !== "object")) {
    if (value.length > 0) into.set(path, value.join(", "));
  } else if (typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) flat(inner, path ? `${path}.${name}` : name, into);
  } else into.set(path, String(value));
  return into;
}

export function Changes({ list, most = Infinity }: { list: Change[]; most?: number }) {
  if (list.length === 0) return null;
  return (
    <div class="diff">
      {list.slice(0, most).map((c) => (
        <span key={c.name}>
          {c.name && <code class="muted">{c.name}</code>}
          {c.before !== null && <del><bdi dir="auto">{c.before}</bdi></del>}
          {c.before !== null && c.after !== null && <span aria-hidden="true">→</span>}
          {c.after !== null && <ins><bdi dir="auto">{c.after}</bdi></ins>}
        </span>
      ))}
      {list.length > most && <span class="muted">{t.audit.more(list.length - most)}</span>}
    </div>
  );
}
