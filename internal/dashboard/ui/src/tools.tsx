// The buttons for the language, the theme and help.
import { signal } from "@preact/signals";
import { Icon } from "./components/icon";
import { chooseLanguage, language, languages, t, type Language } from "./i18n";
import { nextTheme, theme } from "./theme";

/** Whether the help dialog is open. */
export const helpOpen = signal(false);

export function Tools() {
  const name = t.shell.theme[theme.value];
  const next = (Object.keys(languages) as Language[]).find((l) => l !== language.value)!;
  return (
    <div class="tools">
      <button type="button" class="button quiet icon" onClick={nextTheme} aria-label={name} title={name}>
        <Icon name={({ auto: "contrast", light: "sun", dark: "moon" } as const)[theme.value]} />
      </button>
      <button type="button" class="button quiet icon" onClick={() => (helpOpen.value = true)} aria-label={t.shell.help} title={t.shell.help}><Icon name="help" /></button>
      <button type="button" class="button quiet" onClick={() => chooseLanguage(next)} title={t.shell.language} lang={next}><Icon name="globe" />{languages[next]}</button>
    </div>
  );
}
