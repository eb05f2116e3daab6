// A request that another page opens in the playground. It stays in memory: no
// content of a request is written to the browser's storage.
import { signal } from "@preact/signals";
import type { Dialect } from "./answer.ts";

export interface Draft {
  id: string;
  dialect: Dialect;
  model: string;
  key: string;
  body: unknown;
}

export const draft = signal<Draft | null>(null);
