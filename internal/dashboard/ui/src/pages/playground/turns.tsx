// The turns of the conversation that is sent.
import { Icon } from "../../components/icon";
import { t } from "../../i18n";
import type { Turn } from "./form.ts";

export function Turns({ turns, onChange }: { turns: Turn[]; onChange: (turns: Turn[]) => void }) {
  const texts = t.playground;
  const set = (i: number, changes: Partial<Turn>) => onChange(turns.map((turn, j) => (j === i ? { ...turn, ...changes } : turn)));
  const next = turns[turns.length - 1]?.role === "user" ? "assistant" : "user";
  return (
    <div class="turns">
      {turns.map((turn, i) => (
        <div key={i} class="turn">
          <div class="row">
            <button type="button" class="button small quiet" title={texts.changeRole} onClick={() => set(i, { role: turn.role === "user" ? "assistant" : "user" })}>{texts.roles[turn.role]}</button>
            <span class="grow" />
            {turns.length > 1 && <button type="button" class="button small quiet icon" aria-label={texts.removeTurn} title={texts.removeTurn} onClick={() => onChange(turns.filter((_, j) => j !== i))}><Icon name="close" /></button>}
          </div>
          <textarea rows={i === turns.length - 1 ? 4 : 2} dir="auto" aria-label={`${texts.message} ${i + 1}: ${texts.roles[turn.role]}`} value={turn.text} placeholder={texts.message} onInput={(e) => set(i, { text: e.currentTarget.value })} />
        </div>
      ))}
      <button type="button" class="button small" onClick={() => onChange([...turns, { role: next, text: "" }])}><Icon name="plus" />{texts.addTurn}</button>
    </div>
  );
}
