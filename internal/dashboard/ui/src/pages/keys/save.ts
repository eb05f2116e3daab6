// Saving a key of the version that was read. Where another administrator saved
// it meanwhile, the caller gets the newer one to compare with.
import { useState } from "preact/hooks";
import { ApiFailure, get, patch } from "../../api/client";
import type { KeyDetail } from "../../api/types";
import { changed, type Fields } from "./changes";

export interface Conflict {
  opened: KeyDetail;
  theirs: KeyDetail;
  mine: Fields;
}

/** keyPath returns the path of a key in the API. */
export const keyPath = (id: string) => "/keys/" + encodeURIComponent(id);

export function useSave(onSaved: (key: KeyDetail) => void) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [conflict, setConflict] = useState<Conflict | null>(null);

  /** save writes the settings that differ from those of the key. over is the
   *  version that is replaced; without it, that of the key. */
  const save = async (key: KeyDetail, mine: Fields, over = key.version) => {
    const fields = changed(key.fields, mine);
    if (Object.keys(fields).length === 0) return onSaved(key);
    setBusy(true);
    setFailure(null);
    try {
      const saved = await patch<KeyDetail>(keyPath(key.id), over, { fields });
      setConflict(null);
      onSaved(saved);
    } catch (err) {
      if (!(err instanceof ApiFailure)) throw err;
      if (err.status !== 412) setFailure(err);
      else await get<KeyDetail>(keyPath(key.id)).then((theirs) => setConflict({ opened: key, theirs, mine }), (e) => setFailure(e as ApiFailure));
    } finally {
      setBusy(false);
    }
  };
  return { save, busy, failure, conflict, drop: () => setConflict(null) };
}
