// Patterns of models and routes, with the rules of the gateway's package glob:
// a star and a question mark match a slash too, a malformed class or escape
// stands for itself, and matching is case-sensitive. The page shows what a list
// would allow while it is typed; the gateway decides.

// matches reports whether a pattern matches all of a name. It goes back to the
// last star only, so it takes at most length × length steps.
export function matches(pattern: string, name: string): boolean {
  const p = Array.from(pattern);
  const n = Array.from(name);
  let i = 0;
  let j = 0;
  let star = -1; // after the last star of the pattern
  let retry = 0; // where that star gives one more character up
  while (i < p.length || j < n.length) {
    if (p[i] === "*") {
      star = ++i;
      retry = j;
      continue;
    }
    if (i < p.length && j < n.length) {
      const [next, ok] = one(p, i, n[j] as string);
      if (ok) {
        i = next;
        j++;
        continue;
      }
    }
    if (star < 0 || retry >= n.length) return false;
    i = star;
    j = ++retry;
  }
  return true;
}

// one matches a character against the element of the pattern at i, and returns
// where the next element starts.
function one(p: string[], i: number, c: string): [number, boolean] {
  if (p[i] === "?") return [i + 1, true];
  if (p[i] === "[") {
    const found = inClass(p, i + 1, c);
    if (found) return found;
  } else if (p[i] === "\\" && i + 1 < p.length) {
    i++;
  }
  return [i + 1, p[i] === c];
}

// inClass matches c against the class whose inside starts at i, or returns null
// where it is not well-formed.
function inClass(p: string[], i: number, c: string): [number, boolean] | null {
  const negated = p[i] === "^";
  if (negated) i++;
  let found = false;
  for (let first = true; ; first = false) {
    if (p[i] === "]" && !first) return [i + 1, found !== negated];
    const low = classCharacter(p, i);
    if (!low) return null;
    let high = low;
    if (p[low.next] === "-") {
      const end = classCharacter(p, low.next + 1);
      if (!end) return null;
      high = end;
    }
    const code = c.codePointAt(0) as number;
    if (low.code <= code && code <= high.code) found = true;
    i = high.next;
  }
}

function classCharacter(p: string[], i: number): { code: number; next: number } | null {
  if (p[i] === "\\") i++;
  else if (p[i] === "]" || p[i] === "-") return null;
  const c = p[i];
  return c === undefined ? null : { code: c.codePointAt(0) as number, next: i + 1 };
}

// items cuts a list at commas; the empty text is the empty list.
export function items(text: string): string[] {
  return text
    .split(",")
    .map((s) => s.trim())
    .filter((s) => s !== "");
}

// allows reports whether a list lets one of the names of a thing in: no pattern
// with ! matches any of them, and one without does, if the list has one.
export function allows(patterns: string[], ...names: string[]): boolean {
  let allowed = false;
  let lists = false;
  for (const item of patterns) {
    const excludes = item.startsWith("!");
    const pattern = excludes ? item.slice(1) : item;
    lists ||= !excludes;
    for (const name of names) {
      if (!matches(pattern, name)) continue;
      if (excludes) return false;
      allowed = true;
    }
  }
  return allowed || !lists;
}

// toggled returns the list after a click on one of the things that it is about:
// one that is allowed is taken away, and one that is not is added. The empty
// list allows everything, so the first click asks for this one alone.
export function toggled(patterns: string[], name: string): string[] {
  if (patterns.length === 0) return [name];
  const without = patterns.filter((p) => p !== name && p !== "!" + name);
  if (allows(patterns, name)) {
    return without.length > 0 && allows(without, name) ? [...without, "!" + name] : without;
  }
  return allows(without, name) && without.length > 0 ? without : [...without, name];
}
