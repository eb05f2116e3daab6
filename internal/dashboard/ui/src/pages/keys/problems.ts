// What the gateway refused of a key's settings: a line for each, with the name
// of the setting in front.

export interface Problems {
  fields: Record<string, string>;
  other: string[];
}

export function problemsOf(message: string, known: (name: string) => boolean): Problems {
  const found: Problems = { fields: {}, other: [] };
  for (const line of message.split("\n")) {
    const text = line.trim();
    if (text === "") continue;
    const parts = /^([a-z]+(?:-[a-z]+)*): (.+)$/.exec(text);
    if (parts && known(parts[1]!)) found.fields[parts[1]!] = parts[2]!;
    else found.other.push(text);
  }
  return found;
}

export const none: Problems = { fields: {}, other: [] };
