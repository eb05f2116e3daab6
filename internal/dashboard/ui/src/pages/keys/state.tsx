import { t } from "../../i18n";
import { Badge } from "../../components/values";

export function StateBadge({ state }: { state: string }) {
  const tone = state === "active" ? "good" : state === "revoked" ? "" : state === "expired" ? "warn" : "bad";
  return <Badge tone={tone} dot>{t.keys.state[state] ?? state}</Badge>;
}
