// The sentence for a failure of the API. Codes are translated; a code that the
// dashboard does not know has the gateway's own sentence beside it.
import { t } from "../i18n";
import type { ApiFailure } from "./client";

export function errorText(failure: ApiFailure): string {
  const known = t.errors as Record<string, string | ((f: ApiFailure) => string)>;
  const text = failure.code in known ? known[failure.code] : undefined;
  if (typeof text === "string") return text;
  if (text) return text(failure);
  return t.errors.other(failure);
}

/** Whether the gateway's own sentence adds to errorText. */
export function hasDetail(failure: ApiFailure): boolean {
  return failure.status > 0 && failure.status !== 401 && failure.message !== "";
}
