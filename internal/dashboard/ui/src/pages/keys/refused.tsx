import { t } from "../../i18n";
import type { ApiFailure } from "../../api/client";
import { Failure, Notice } from "../../components/states";
import { label } from "./editor";
import type { Problems } from "./problems";

/** What the gateway refused: by the settings, where it named them. */
export function Refused({ failure, problems }: { failure: ApiFailure | null; problems: Problems | null }) {
  const named = Object.keys(problems?.fields ?? {});
  if (!failure || !problems || named.length === 0) return <Failure failure={failure} />;
  return (
    <Notice tone="bad">
      {t.keys.form.problems} {named.map(label).join(", ")}
      {problems.other.map((text) => <div key={text}><bdi dir="auto" lang="en">{text}</bdi></div>)}
    </Notice>
  );
}
