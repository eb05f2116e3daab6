// The English texts of the pages that a Chinese page must not show. Names that
// are the same in both languages are left out by comparing with the Chinese
// texts.
import { readdirSync } from 'node:fs';

const root = new URL('../../internal/dashboard/ui/src/i18n/', import.meta.url);

function collect(value, into, path = '') {
  if (typeof value === 'string') into.set(path, value);
  else if (value && typeof value === 'object') for (const [name, inner] of Object.entries(value)) collect(inner, into, `${path}.${name}`);
}

async function texts(language) {
  const found = new Map();
  for (const file of readdirSync(new URL(`${language}/`, root))) {
    if (file === 'index.ts') continue;
    for (const [name, value] of Object.entries(await import(new URL(`${language}/${file}`, root)))) collect(value, found, `${file}.${name}`);
  }
  return found;
}

const en = await texts('en');
const zh = await texts('zh');
const same = new Set([...en].filter(([path, text]) => zh.get(path) === text).map(([, text]) => text));

export const english = new Set([...en.values()].filter((text) => !same.has(text) && (/[a-z]{3}/.test(text) && /[A-Z ]/.test(text))));
export { en, zh };
