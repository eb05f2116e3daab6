// The start of the dashboard: the language is loaded, the session asked for,
// and the shell drawn.
import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/components.css";
import { App } from "./app";
import { loadLanguage, preferredLanguage } from "./i18n";
import { loadSession } from "./session";
import { applyTheme } from "./theme";

applyTheme();
await Promise.all([loadLanguage(preferredLanguage()), loadSession()]);
render(<App />, document.getElementById("app")!);
