// A hook that reads from the API.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import type { Query } from "../router";
import { ApiFailure, get } from "./client";

/** How many calls of useApi are under way: the shell shows a line of progress. */
export const pending = signal(0);

export interface Answer<T> {
  data: T | null; // the last answer, also while the next one is awaited
  failure: ApiFailure | null;
  loading: boolean;
  reload: () => void;
}

/** useApi reads a path whenever it or its query changes; a null path reads
 *  nothing. With every (milliseconds) it reads again while the tab is visible. */
export function useApi<T>(path: string | null, query: Query = {}, every = 0): Answer<T> {
  const [state, setState] = useState<{ of: string | null; data: T | null; failure: ApiFailure | null; loading: boolean }>({
    of: null, data: null, failure: null, loading: path !== null,
  });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const text = JSON.stringify(query);
  const last = useRef(path);

  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    const samePath = last.current === path;
    last.current = path;
    setState((s) => ({ ...s, data: samePath ? s.data : null, loading: true }));
    pending.value++;
    get<T>(path, JSON.parse(text), { signal: abort.signal })
      .then((data) => setState({ of: path, data, failure: null, loading: false }))
      .catch((err) => {
        if (!(err instanceof ApiFailure)) {
          if ((err as Error).name === "AbortError") return;
          throw err;
        }
        setState((s) => ({ ...s, failure: err, loading: false }));
      })
      .finally(() => pending.value--);
    return () => abort.abort();
  }, [path, text, turn]);

  useEffect(() => {
    if (!every || path === null) return;
    const timer = setInterval(() => document.hidden || reload(), every);
    const seen = () => document.hidden || reload();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [every, path]);

  return { data: state.data, failure: state.failure, loading: state.loading, reload };
}

/** useAction wraps a write: it keeps the failure and whether it is under way.
 *  run returns what the action returned, or undefined when it failed. */
export function useAction<A extends unknown[], R>(action: (...args: A) => Promise<R>) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const run = async (...args: A): Promise<R | undefined> => {
    setBusy(true);
    setFailure(null);
    try {
      return await action(...args);
    } catch (err) {
      if (!(err instanceof ApiFailure)) throw err;
      setFailure(err);
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, failure, clear: () => setFailure(null) };
}
