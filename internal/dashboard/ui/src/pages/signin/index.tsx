// The sign-in: by a key, or by the code of a one-time link in the address.
import { useEffect, useState } from "preact/hooks";
import { useAction } from "../../api/use";
import { Field } from "../../components/field";
import { Logo } from "../../components/icon";
import { Failure, Notice } from "../../components/states";
import { t } from "../../i18n";
import { sessionFailure, signIn } from "../../session";
import { Tools } from "../../tools";
import type { PageProps } from "..";
import "./signin.css";

export default function SignIn({ params }: Partial<PageProps>) {
  const [key, setKey] = useState("");
  const action = useAction(signIn);
  const code = params?.code;
  useEffect(() => {
    if (!code) return;
    // The code is of no more use, and the history keeps no trace of it.
    history.replaceState(null, "", "#/signin");
    action.run({ code });
  }, [code]);
  const secure = isSecureContext || location.protocol === "https:";
  return (
    <div class="signin">
      <main class="signin-card card" id="main" tabIndex={-1}>
        <div class="signin-brand"><Logo /><span>forward</span></div>
        <h1>{t.signin.title}</h1>
        {code && action.busy ? <p class="muted" role="status">{t.signin.code}</p> : <p class="muted">{t.signin.intro}</p>}
        {!secure && <Notice tone="warn">{t.signin.insecure}</Notice>}
        <form
          onSubmit={async (e) => {
            e.preventDefault();
            if (!key.trim()) return;
            await action.run({ key: key.trim() });
            setKey("");
          }}
        >
          <Field label={t.signin.key}>
            <input type="password" name="key" autocomplete="current-password" spellcheck={false} autocapitalize="off" autofocus placeholder="fk-…" value={key} onInput={(e) => setKey(e.currentTarget.value)} />
          </Field>
          <button type="submit" class="button primary" disabled={action.busy}>{t.signin.submit}</button>
        </form>
        <Failure failure={action.failure ?? sessionFailure.value} />
        <p class="muted small-text">{t.signin.own} <code>forward dashboard</code> {t.signin.ownAfter}</p>
      </main>
      <Tools />
    </div>
  );
}
