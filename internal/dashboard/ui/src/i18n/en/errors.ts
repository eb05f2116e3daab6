// The failures of the API by their code.
import type { ApiFailure } from "../../api/client";

const wait = (f: ApiFailure) => (f.retryAfter ? ` Try again in ${f.retryAfter} s.` : "");

export const errors = {
  unreachable: "The gateway does not answer. Is it running?",
  invalid_api_key: "This key is not known here.",
  invalid_code: "This link has been used or is too old. Ask for a new one.",
  unauthenticated: "You are signed out. Sign in again.",
  session_ended: "Your session has ended. Sign in again.",
  key_expired: "Your key has expired. Ask your administrator for a new one.",
  key_disabled: "Your key is disabled. Ask your administrator.",
  key_revoked: "Your key has been revoked. Ask your administrator for a new one.",
  ip_not_allowed: "Your key may not be used from this address.",
  rate_limit_exceeded: (f: ApiFailure) => "Too many wrong tries from this address." + wait(f),
  too_many_requests: (f: ApiFailure) => "Too often." + wait(f),
  query_too_wide: "This question takes too long. Choose a shorter time range or add a filter.",
  invalid_query: "The gateway does not understand this query.",
  invalid_body: "The gateway does not understand this form.",
  not_found: "There is nothing here.",
  key_not_found: "There is no such key.",
  key_is_declared: "This key stands in the settings file, where it is changed.",
  key_exists: "There is a key of this name already.",
  version_mismatch: "Somebody else has changed this meanwhile. Look at the difference and save again.",
  internal_error: "The gateway has an internal error. Its log says more.",
  other: (f: ApiFailure) =>
    f.status === 429 ? "Too often." + wait(f) : f.status === 401 ? "You are signed out. Sign in again." : f.status === 403 ? "You may not do this." : f.status === 404 ? "There is nothing here." : f.status === 412 ? "This has been changed meanwhile." : f.status >= 500 ? "The gateway cannot answer this now." : "The gateway refuses this.",
};
