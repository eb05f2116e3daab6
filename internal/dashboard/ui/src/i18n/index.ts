// The languages. t has the texts of the current one: t.overview.title. Read it
// while rendering, never at the top of a module, where no language is loaded.
// en is the form that every other language has to satisfy; a missing text does
// not compile.
import { signal } from "@preact/signals";
import type { Texts } from "./en";

export type { Texts };
export const languages = { en: "English", "zh-CN": "简体中文" } as const;
export type Language = keyof typeof languages;

/** The current language, as a tag of BCP 47. */
export const language = signal<Language>("en");
export let t: Texts;

const load: Record<Language, () => Promise<{ texts: Texts }>> = {
  en: () => import("./en"),
  "zh-CN": () => import("./zh"),
};

function of(tag: string | null): Language | null {
  if (!tag) return null;
  if (/^zh\b/i.test(tag)) return "zh-CN";
  return /^en\b/i.test(tag) ? "en" : null;
}

/** ?lang of the page, then the stored choice, then the browser's languages. */
export function preferredLanguage(): Language {
  const asked = of(new URLSearchParams(location.search).get("lang"));
  if (asked) return asked;
  const stored = of(localStorage.getItem("forward.language"));
  if (stored) return stored;
  for (const tag of navigator.languages) {
    const known = of(tag);
    if (known) return known;
  }
  return "en";
}

export async function loadLanguage(next: Language) {
  t = (await load[next]()).texts;
  document.documentElement.lang = next;
  language.value = next;
}

export async function chooseLanguage(next: Language) {
  localStorage.setItem("forward.language", next);
  await loadLanguage(next);
}
