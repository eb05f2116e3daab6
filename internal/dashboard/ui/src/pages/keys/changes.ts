// Settings of a key as texts, and what two of them differ in.

export type Fields = Record<string, string>;

// changed returns the merge patch that makes after of before: null takes a
// setting away.
export function changed(before: Fields, after: Fields): Record<string, string | null> {
  const patch: Record<string, string | null> = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const was = before[name] ?? "";
    const is = (after[name] ?? "").trim();
    if (was !== is) patch[name] = is === "" ? null : is;
  }
  return patch;
}

export interface Difference {
  name: string;
  opened: string; // as it was when the form was opened
  theirs: string; // as another administrator left it
  mine: string; // as the form has it
  both: boolean; // both changed it, and not to the same
}

// differences compares what stands in a form with what was saved meanwhile.
export function differences(opened: Fields, theirs: Fields, mine: Fields): Difference[] {
  const list: Difference[] = [];
  const names = new Set([...Object.keys(opened), ...Object.keys(theirs), ...Object.keys(mine)]);
  for (const name of names) {
    const o = opened[name] ?? "";
    const t = theirs[name] ?? "";
    const m = (mine[name] ?? "").trim();
    if (o === t && o === m) continue;
    list.push({ name, opened: o, theirs: t, mine: m, both: o !== t && o !== m && t !== m });
  }
  return list;
}

// merged returns theirs with what a form changed of opened: what the form did
// not touch stays as the other administrator left it.
export function merged(opened: Fields, theirs: Fields, mine: Fields): Fields {
  const next = { ...theirs };
  for (const [name, is] of Object.entries(changed(opened, mine))) next[name] = is ?? "";
  return next;
}
