// Light, dark, or as the system has it. The choice stays in localStorage.
import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const stored = read();

export const theme = signal<Theme>(stored);

function read(): Theme {
  const value = localStorage.getItem("forward.theme");
  return value === "light" || value === "dark" ? value : "auto";
}

export function applyTheme(next: Theme = theme.value) {
  theme.value = next;
  localStorage.setItem("forward.theme", next);
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}

export function nextTheme() {
  applyTheme(({ auto: "light", light: "dark", dark: "auto" } as const)[theme.value]);
}
