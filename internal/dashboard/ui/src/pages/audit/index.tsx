// The record of actions, and the sessions that are open.
import { Tabs } from "../../components/tabs";
import { t } from "../../i18n";
import { place, setQuery } from "../../router";
import { Log } from "./log";
import { Sessions } from "./sessions";
import "./audit.css";

export default function AuditPage() {
  const tab = place.value.query.get("tab") === "sessions" ? "sessions" : "log";
  return (
    <>
      <header class="page-head"><h1>{t.audit.title}</h1></header>
      <Tabs label={t.audit.title} value={tab} tabs={[{ value: "log", text: t.audit.log }, { value: "sessions", text: t.audit.sessions }]}
        onChange={(value) => setQuery({ tab: value === "log" ? null : value, before: null }, true)}>
        {tab === "log" ? <Log /> : <Sessions />}
      </Tabs>
    </>
  );
}
