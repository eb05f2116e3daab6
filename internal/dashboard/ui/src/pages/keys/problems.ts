// What the gateway refused of a key's settings: a line for each, with the name
// of the setting in front.

export interface Problems {
  fields: Record<string, string>;
  other: string[];
}

/** problemsOf reads a message such as `changing key "a": rpm: "x" is not …`,
 *  with more lines for more settings. */
export function problemsOf(message: string, known: (name: string) => boolean): Problems {
  const found: Problems = { fields: {}, other: [] };
  for (const line of message.split("\n")) {
    const text = line.trim();
    if (text === "") continue;
    // What is quoted is the caller's own text, which may look like a setting.
    const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => "_".repeat(quoted.length));
    const at = [...bare.matchAll(/(^|: )([a-z]+(?:-[a-z]+)*): /g)].find((m) => known(m[2]!));
    if (at) found.fields[at[2]!] = text.slice(at.index + at[0].length);
    else found.other.push(text);
  }
  return found;
}

export const none: Problems = { fields: {}, other: [] };
