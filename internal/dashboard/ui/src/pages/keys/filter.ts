import type { BudgetView, KeyDetail } from "../../api/types";

export interface KeyFilter {
  text: string; // in the name, id, tags or models
  state: string; // a state, current for those that are not revoked, or all
  tag: string;
  origin: string;
}

export type KeySort = "name" | "state" | "month" | "today" | "used" | "expires" | "budget";

// filtered returns the keys that a filter admits.
export function filtered(keys: KeyDetail[], f: KeyFilter): KeyDetail[] {
  const words = f.text.toLowerCase().split(/\s+/).filter(Boolean);
  return keys.filter((k) => {
    if (!ofState(k, f.state)) return false;
    if (f.origin !== "" && k.origin !== f.origin) return false;
    if (f.tag !== "" && !(k.policy.tags ?? []).includes(f.tag)) return false;
    if (words.length === 0) return true;
    const all = [k.name, k.id, k.masked, ...(k.policy.tags ?? []), ...(k.policy.models ?? [])]
      .join("\n")
      .toLowerCase();
    return words.every((w) => all.includes(w));
  });
}

function ofState(k: KeyDetail, state: string): boolean {
  if (state === "all" || state === "") return true;
  return state === "current" ? k.state !== "revoked" : k.state === state;
}

// tagsOf returns the tags of the keys in order, each once.
export function tagsOf(keys: KeyDetail[]): string[] {
  return [...new Set(keys.flatMap((k) => k.policy.tags ?? []))].sort();
}

// fullest returns the budget of which the largest part is used, or null: it is
// the one that stops the key first.
export function fullest(k: KeyDetail): BudgetView | null {
  let most: BudgetView | null = null;
  for (const b of k.budgets ?? []) {
    if (most === null || usedPart(b) > usedPart(most)) most = b;
  }
  return most;
}

function usedPart(b: BudgetView): number {
  return b.limit > 0 ? (b.spent + b.held) / b.limit : 0;
}

const states = ["active", "disabled", "expired", "revoked"];

// sorted returns the keys in the order of a column; those without a value are
// last in either direction, and equal ones are by name.
export function sorted(keys: KeyDetail[], by: KeySort, down: boolean): KeyDetail[] {
  const value = (k: KeyDetail): number | string | null => {
    switch (by) {
      case "name":
        return k.name.toLowerCase();
      case "state":
        return states.indexOf(k.state);
      case "month":
        return k.used?.month.cost_nano_usd ?? 0;
      case "today":
        return k.used?.day.cost_nano_usd ?? 0;
      case "used":
        return k.last_used ? Date.parse(k.last_used) : null;
      case "expires":
        return k.expires ? Date.parse(k.expires) : null;
      case "budget":
        return fullest(k) && usedPart(fullest(k)!);
    }
  };
  const names = new Intl.Collator();
  const valued = keys.map((k) => ({ k, v: value(k) }));
  valued.sort((a, b) => {
    if (a.v !== b.v) {
      if (a.v === null) return 1;
      if (b.v === null) return -1;
      const order =
        typeof a.v === "string" ? names.compare(a.v, b.v as string) : a.v - (b.v as number);
      if (order !== 0) return down ? -order : order;
    }
    return names.compare(a.k.name, b.k.name);
  });
  return valued.map((x) => x.k);
}
