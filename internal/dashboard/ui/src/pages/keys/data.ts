// Reading the list of keys. It is read as a whole, a page at a time, because
// search, sums and bulk changes are about all of it.
import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiFailure, get } from "../../api/client";
import { pending } from "../../api/use";
import type { KeyDetail } from "../../api/types";

interface Page {
  keys: KeyDetail[];
  count: number;
  next_offset: number | null;
}

const pageSize = 1000;

export function useKeys(): { keys: KeyDetail[] | null; failure: ApiFailure | null; reload: () => void } {
  const [keys, setKeys] = useState<KeyDetail[] | null>(null);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const read = async () => {
      pending.value++;
      try {
        let all: KeyDetail[] = [];
        for (let offset: number | null = 0; offset !== null; ) {
          const page: Page = await get("/keys", { details: true, limit: pageSize, offset }, { signal: abort.signal });
          all = all.concat(page.keys);
          offset = page.next_offset;
          setKeys((old) => (offset === null || old === null ? all : old));
        }
        setFailure(null);
      } catch (err) {
        if (err instanceof ApiFailure) setFailure(err);
        else if ((err as Error).name !== "AbortError") throw err;
      } finally {
        pending.value--;
      }
    };
    void read();
    return () => abort.abort();
  }, [turn]);
  return { keys, failure, reload: useCallback(() => setTurn((n) => n + 1), []) };
}
