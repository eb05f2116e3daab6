// A new key: the form, and its result. The result is state of this page, so
// that the secret is gone with it.
import { useRef, useState } from "preact/hooks";
import { t } from "../../i18n";
import { post } from "../../api/client";
import { useAction } from "../../api/use";
import type { NewKey } from "../../api/types";
import { go, href, place } from "../../router";
import { session } from "../../session";
import { Notice } from "../../components/states";
import type { Fields } from "./changes";
import { KeyFields } from "./form";
import { none, problemsOf } from "./problems";
import { Refused } from "./refused";
import { HandoverLink, Secret, gatewayBase } from "./secret";
import "../../styles/parts.css";
import "./keys.css";

export default function NewKeyPage() {
  // A link may fill in the form: #/keys/new?name=alice&tags=team=search
  const [fields, setFields] = useState<Fields>(() => ({ expires: "90d", ...Object.fromEntries(place.value.query) }));
  const [made, setMade] = useState<NewKey | null>(null);
  const attempt = useRef({ of: "", name: "" });
  const create = useAction((secret: "now" | "later") => {
    const body = { fields: Object.fromEntries(Object.entries(fields).filter(([, text]) => text.trim() !== "")), secret };
    // The same form is the same attempt: where the answer was lost, asking again
    // makes no second key.
    const of = JSON.stringify(body);
    if (attempt.current.of !== of) attempt.current = { of, name: newAttempt() };
    return post<NewKey>("/keys", body, { headers: { "Idempotency-Key": attempt.current.name } });
  });
  if (made) {
    const again = () => {
      setMade(null);
      setFields({ expires: "90d" });
      attempt.current = { of: "", name: "" };
    };
    return <Made made={made} again={again} />;
  }
  const refused = create.failure !== null && (create.failure.status === 400 || create.failure.status === 422);
  const problems = refused ? problemsOf(create.failure!.message, (name) => name in t.keys.fields) : none;
  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const later = (e.submitter as HTMLButtonElement | null)?.value === "later";
    const answer = await create.run(later ? "later" : "now");
    if (answer) setMade(answer);
  };
  return (
    <form class="grid" onSubmit={submit}>
      <div class="page-head">
        <h1>{t.keys.form.title}</h1>
        <a class="button quiet" href={href("/keys")}>{t.keys.form.cancel}</a>
      </div>
      {session.value && !session.value.features.managed_keys && <Notice tone="warn">{t.keys.managedOff}</Notice>}
      <Refused failure={create.failure} problems={refused ? problems : null} />
      <KeyFields fields={fields} setFields={setFields} problems={problems}
        foot={
          <>
            <button class="button primary" type="submit" name="secret" value="now" disabled={create.busy}>{t.keys.form.now}</button>
            <button class="button" type="submit" name="secret" value="later" disabled={create.busy}>{t.keys.form.later}</button>
            <span class="muted small-text">{t.keys.form.laterHelp}</span>
          </>
        } />
    </form>
  );
}

function Made({ made, again }: { made: NewKey; again: () => void }) {
  const name = made.key.name;
  return (
    <div class="grid">
      <div class="page-head">
        <h1>{t.keys.result.made(name)}</h1>
        <button type="button" class="button quiet" onClick={again}>{t.keys.result.another}</button>
        <button type="button" class="button" onClick={() => go("/keys/" + encodeURIComponent(made.key.id))}>{t.keys.result.toKey}</button>
      </div>
      {made.secret !== null && <Secret secret={made.secret} base={gatewayBase()} />}
      {made.secret === null && !made.handover && <Notice tone="warn">{t.keys.result.repeated}</Notice>}
      {made.handover && <HandoverLink handover={made.handover} name={name} />}
    </div>
  );
}

// newAttempt returns the name of an attempt to make a key. crypto.randomUUID
// would need HTTPS.
function newAttempt(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
