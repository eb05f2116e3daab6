// The place in the dashboard, which stands in the hash of the address: what is
// after # reaches no server and no log of a proxy. The state of a page (range,
// filters, the open row) is the query of the hash, so that a link shows what
// its sender saw.
import { computed, signal } from "@preact/signals";

export type Query = Record<string, string | number | boolean | null | undefined>;

/** A place: "#/requests?key=alice" has the path "/requests". */
export interface Place {
  path: string;
  query: URLSearchParams;
}

function read(): Place {
  const hash = location.hash.replace(/^#/, "") || "/";
  const at = hash.indexOf("?");
  const path = (at < 0 ? hash : hash.slice(0, at)).replace(/\/+$/, "") || "/";
  return { path, query: new URLSearchParams(at < 0 ? "" : hash.slice(at + 1)) };
}

export const place = signal<Place>(read());
/** The path alone, which does not change with the filters. */
export const path = computed(() => place.value.path);

addEventListener("hashchange", () => (place.value = read()));

/** href returns the address of a place for <a href>. Empty values are left out. */
export function href(path: string, query: Query = {}): string {
  const text = search(new URLSearchParams(), query).toString();
  return "#" + path + (text && "?" + text);
}

/** go opens a place, with a new entry in the history. */
export function go(path: string, query: Query = {}) {
  location.hash = href(path, query);
}

/** setQuery changes the query of this place and keeps its other values. It
 *  replaces the entry of the history, unless push is set. */
export function setQuery(changes: Query, push = false) {
  const query = search(new URLSearchParams(place.value.query), changes);
  const text = query.toString();
  const hash = "#" + place.value.path + (text && "?" + text);
  if (hash === (location.hash || "#/")) return;
  if (push) {
    location.hash = hash;
  } else {
    history.replaceState(history.state, "", hash);
    place.value = read();
  }
}

function search(query: URLSearchParams, changes: Query): URLSearchParams {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "" || value === false) query.delete(name);
    else query.set(name, String(value));
  }
  return query;
}

/** match compares a path with a pattern such as "/keys/:key" and returns its
 *  parameters, or null. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const parts = path.split("/");
  if (wanted.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [i, want] of wanted.entries()) {
    const part = parts[i]!;
    if (want.startsWith(":")) {
      try {
        params[want.slice(1)] = decodeURIComponent(part);
      } catch {
        return null;
      }
    } else if (want !== part) return null;
  }
  return params;
}
