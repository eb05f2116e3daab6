// The page that a hand-over link opens. It works without a sign-in. Nothing is
// asked of the gateway until the button is pressed, because opening a link
// makes its secret.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { ApiFailure, post } from "../../api/client";
import { href } from "../../router";
import { Logo } from "../../components/icon";
import { Failure, Notice } from "../../components/states";
import { Tools } from "../../tools";
import type { PageProps } from "..";
import { gatewayBase, Secret } from "../keys/secret";
import "../../styles/parts.css";
import "../keys/keys.css";
import "./handover.css";

interface Opened {
  secret: string;
  name: string;
  id: string;
}

export default function HandoverPage({ params }: PageProps) {
  return (
    <div class="handover-page">
      <main class="handover card" id="main" tabIndex={-1}>
        <div class="handover-brand"><Logo /><span>forward</span></div>
        <Handover code={params.code ?? ""} />
      </main>
      <Tools />
    </div>
  );
}

function Handover({ code }: { code: string }) {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [busy, setBusy] = useState(false);
  const make = async () => {
    setBusy(true);
    setFailure(null);
    try {
      setOpened(await post<Opened>("/handover", { code }));
      // The code is used up; nothing of it stays in the history.
      history.replaceState(null, "", "#/handover");
    } catch (err) {
      if (!(err instanceof ApiFailure)) throw err;
      setFailure(err);
    } finally {
      setBusy(false);
    }
  };
  if (opened) {
    return (
      <div class="grid">
        <h1>{t.keys.handover.yours(opened.name)}</h1>
        <Secret secret={opened.secret} base={gatewayBase()} own />
        <p><a href={href("/")}>{t.keys.handover.signIn}</a></p>
      </div>
    );
  }
  if (failure?.status === 410 || failure?.status === 404) {
    return (
      <div class="grid" data-gone>
        <h1>{t.keys.handover.gone}</h1>
        <p>{t.keys.handover.goneHelp}</p>
      </div>
    );
  }
  return (
    <div class="grid">
      <h1>{t.keys.handover.title}</h1>
      <p>{t.keys.handover.what}</p>
      {code === "" ? <Notice tone="warn">{t.keys.handover.bad}</Notice> : (
        <>
          <p>{t.keys.handover.once}</p>
          <div><button type="button" class="button primary large" disabled={busy} onClick={make}>{busy ? t.keys.handover.making : t.keys.handover.make}</button></div>
        </>
      )}
      <Failure failure={failure} retry={make} />
    </div>
  );
}
