// Who is signed in. The credential is a cookie that no script can read.
import { signal } from "@preact/signals";
import { ApiFailure, del, get, onUnauthorized, post } from "./api/client";
import type { Session } from "./api/types";
import { go, place } from "./router";

/** null: no viewer is signed in. */
export const session = signal<Session | null>(null);
/** Why the session ended or cannot be had, as a failure of the API. */
export const sessionFailure = signal<ApiFailure | null>(null);
/** The place that was asked for before the sign-in. */
let wanted = "";

/** me returns the session; pages below the shell always have one. */
export function me(): Session {
  return session.value!;
}

export function isAdministrator(): boolean {
  return session.value?.role === "administrator";
}

export async function loadSession() {
  try {
    session.value = await get<Session>("/session");
  } catch (err) {
    if (!(err instanceof ApiFailure)) throw err;
    session.value = null;
    if (err.status !== 401) sessionFailure.value = err;
  }
}

/** signIn takes a key (ADMIN_KEY or fk-…) or the code of a one-time link. */
export async function signIn(credential: { key: string } | { code: string }) {
  session.value = await post<Session>("/session", credential);
  sessionFailure.value = null;
  const next = wanted;
  wanted = "";
  if (next) location.hash = next;
  else if (place.value.path.startsWith("/signin")) go("/");
}

export async function signOut() {
  await del("/session").catch(() => {});
  session.value = null;
  go("/");
}

// A session can end while a page is open: the key is revoked, or the session
// is ended elsewhere. The page says so and asks for a key.
onUnauthorized((failure) => {
  if (!session.value) return;
  wanted = location.hash;
  session.value = null;
  sessionFailure.value = failure;
});
