// The help: what the keyboard does, and words that need a sentence.
import { Dialog } from "./components/dialog";
import { t } from "./i18n";
import { helpOpen } from "./tools";

export default function Help() {
  return (
    <Dialog title={t.help.title} onClose={() => (helpOpen.value = false)} wide>
      <div class="help">
        <dl>
          {Object.entries(t.help.keys).map(([keys, text]) => (
            <div key={keys}>
              <dt>{keys.split(" ").map((k) => <kbd key={k}>{k}</kbd>)}</dt>
              <dd>{text}</dd>
            </div>
          ))}
        </dl>
        <section>
          <h3>{t.help.about}</h3>
          {t.help.terms.map(({ name, text }) => <p key={name} class="small-text"><b>{name}</b> <span class="muted">{text}</span></p>)}
        </section>
      </div>
    </Dialog>
  );
}
