// A hook that reads rows page by page.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiFailure, get } from "../../api/client";
import { pending } from "../../api/use";
import type { RequestPage, RequestRow } from "../../api/types";
import type { Query } from "../../router";
import { append, emptyRows, type Rows } from "./rows.ts";

const pageSize = 200;

export interface RowList extends Rows<RequestRow> {
  loading: boolean;
  failure: ApiFailure | null;
  more: () => void; // reads the next page, unless one is being read
  reload: () => void;
}

export function useRows(query: Query): RowList {
  const [list, setList] = useState<Rows<RequestRow>>(emptyRows);
  const [loading, setLoading] = useState(true);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [turn, setTurn] = useState(0);
  const text = JSON.stringify(query);
  const current = useRef<{ abort: AbortController; next: string | null; busy: boolean } | null>(null);

  const read = useCallback((before: string | null) => {
    const mine = current.current!;
    mine.busy = true;
    setLoading(true);
    setFailure(null);
    pending.value++;
    get<RequestPage>("/requests", { ...(JSON.parse(text) as Query), limit: pageSize, before }, { signal: mine.abort.signal })
      .then((page) => {
        mine.next = page.next_before;
        setList((l) => append(before === null ? emptyRows() : l, page));
      })
      .catch((err) => {
        if (err instanceof ApiFailure) setFailure(err);
        else if ((err as Error).name !== "AbortError") throw err;
      })
      .finally(() => {
        pending.value--;
        mine.busy = false;
        if (current.current === mine) setLoading(false);
      });
  }, [text]);

  useEffect(() => {
    const mine = { abort: new AbortController(), next: null, busy: false };
    current.current = mine;
    read(null);
    return () => mine.abort.abort();
  }, [text, turn]);

  const more = useCallback(() => {
    const mine = current.current;
    if (mine && !mine.busy && mine.next !== null) read(mine.next);
  }, [read]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { ...list, loading, failure, more, reload };
}
