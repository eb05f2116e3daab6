// The frame around the pages, and which page stands in it.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { pending } from "./api/use";
import { Icon, Logo } from "./components/icon";
import { Boundary, Empty, Skeleton } from "./components/states";
import { Name } from "./components/values";
import Help from "./help";
import { language, t } from "./i18n";
import * as keyboard from "./keyboard";
import { home, pages, type Page, type PageProps } from "./pages";
import SignIn from "./pages/signin";
import { go, href, match, path } from "./router";
import { me, session, signOut } from "./session";
import { helpOpen, Tools } from "./tools";

export function App() {
  // Another language renders all pages again, for texts are read while rendering.
  return (
    <div key={language.value} class="app">
      <Place />
      {helpOpen.value && <Help />}
    </div>
  );
}

function find(): { page: Page; params: Record<string, string> } | null {
  for (const page of pages) {
    const params = match(page.path, path.value);
    if (params) return { page, params };
  }
  return null;
}

function may(page: Page): boolean {
  return !page.may || (session.value !== null && page.may(session.value));
}

function Place() {
  useEffect(() => {
    keyboard.start(() => (helpOpen.value = true), (to) => pages.some((p) => p.path === to && may(p)));
  }, []);
  const found = find();
  const title = found ? t.shell[found.page.id] : t.shell.notFound;
  useEffect(() => {
    document.title = (session.value ? `${title} · ` : "") + "forward";
  }, [title, session.value]);
  if (found?.page.open && found.page.id !== "signin") return <Opened page={found.page} params={found.params} />;
  if (found?.page.id === "signin") return <SignIn params={found.params} />;
  if (!session.value) return <SignIn />;
  return <Frame page={found?.page ?? null} params={found?.params ?? {}} />;
}

function Frame({ page, params }: { page: Page | null; params: Record<string, string> }) {
  const [menu, setMenu] = useState(false);
  const at = path.value;
  useEffect(() => {
    setMenu(false);
    scrollTo(0, 0);
    if (at === "/signin" || (at === "/" && location.hash === "" && home(me()) !== "/")) go(home(me()));
  }, [at]);
  return (
    <div class="shell">
      <button type="button" class="skip button" onClick={() => document.getElementById("main")?.focus()}>{t.shell.skip}</button>
      <div class={`progress${pending.value > 0 ? " on" : ""}`} aria-hidden="true" />
      <header class="topbar">
        <button type="button" class="button quiet icon" onClick={() => setMenu(true)} aria-label={t.shell.menu} aria-expanded={menu}><Icon name="menu" /></button>
        <a class="brand" href={href("/")}><Logo />forward</a>
      </header>
      {menu && <button type="button" class="veil" aria-label={t.common.close} onClick={() => setMenu(false)} />}
      <aside class={`side${menu ? " open" : ""}`} aria-label={t.shell.menu} onKeyDown={(e) => e.key === "Escape" && setMenu(false)}>
        <a class="brand" href={href("/")}><Logo />forward</a>
        <Navigation at={page} />
        <div class="foot">
          <Tools />
          <Who />
        </div>
      </aside>
      <main class="main" id="main" tabIndex={-1}>
        {page === null ? (
          <Empty icon="search" title={t.shell.notFound}>{t.shell.notFoundHint} <a href={href(home(me()))}>{t.shell.toOverview}</a></Empty>
        ) : !may(page) ? (
          <Empty icon="keys" title={t.shell.notYours}><a href={href(home(me()))}>{t.shell.toOverview}</a></Empty>
        ) : (
          <Boundary name={at}><Opened page={page} params={params} /></Boundary>
        )}
      </main>
    </div>
  );
}

function Navigation({ at }: { at: Page | null }) {
  return (
    <nav aria-label={t.shell.navigation}>
      {(["observe", "manage"] as const).map((group) => {
        const list = pages.filter((p) => p.group === group && may(p));
        return list.length > 0 && (
          <div key={group}>
            <div class="group">{t.shell[group]}</div>
            {list.map((p) => (
              <a key={p.path} href={href(p.path)} aria-current={p.id === at?.id ? "page" : undefined}><Icon name={p.icon!} />{t.shell[p.id] as string}</a>
            ))}
          </div>
        );
      })}
    </nav>
  );
}

function Who() {
  const s = me();
  const administrator = s.role === "administrator";
  const name = administrator ? t.shell.administrator : s.name;
  return (
    <div class="who">
      <div class="face" aria-hidden="true">{(name[0] ?? "?").toUpperCase()}</div>
      <div class="grow">
        <div class="name"><Name>{name}</Name></div>
        <div class="muted small-text" title={administrator ? s.version : undefined}>{administrator ? t.shell.version(s.version.split(" ")[0]!) : t.shell.holder}</div>
      </div>
      <button type="button" class="button quiet icon" onClick={signOut} aria-label={t.shell.signOut} title={t.shell.signOut}><Icon name="signout" /></button>
    </div>
  );
}

// The pages that are loaded already are drawn without a pause.
const loaded = new Map<Page, ComponentType<PageProps>>();

function Opened({ page, params }: { page: Page; params: Record<string, string> }) {
  const [, redraw] = useState(0);
  const [failed, setFailed] = useState<Page | null>(null);
  useEffect(() => {
    if (loaded.has(page)) return;
    let gone = false;
    page.load().then(
      (module) => {
        loaded.set(page, module.default);
        if (!gone) redraw((n) => n + 1);
      },
      () => gone || setFailed(page),
    );
    return () => {
      gone = true;
    };
  }, [page]);
  const Loaded = loaded.get(page);
  if (Loaded) return <Loaded params={params} />;
  if (failed === page) return <Empty icon="warning" title={t.shell.loadFailed}><button type="button" class="button" onClick={() => location.reload()}>{t.common.reloadPage}</button></Empty>;
  return <Skeleton />;
}
