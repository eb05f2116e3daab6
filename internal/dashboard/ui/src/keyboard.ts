// The keys that work on every page. A field that is being typed in keeps them,
// and so does an open dialog, but for Escape, which closes it by itself.
import { go } from "./router";
import { focusRow } from "./components/table";

let prefix = 0; // until when the key after g counts

const places: Record<string, string> = { o: "/", l: "/live", r: "/requests", k: "/keys", u: "/usage", p: "/playground", c: "/connect" };

/** start listens for the life of the page. help opens the list of keys; may
 *  reports whether the viewer has the page. */
export function start(help: () => void, may: (path: string) => boolean) {
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    const target = e.target as Element;
    if (target.closest("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    if (Date.now() < prefix) {
      prefix = 0;
      const path = places[e.key];
      if (path && may(path)) {
        e.preventDefault();
        go(path);
      }
      return;
    }
    switch (e.key) {
      case "g":
        prefix = Date.now() + 1500;
        break;
      case "/": {
        const search = document.querySelector<HTMLElement>("main [data-search]");
        if (search) search.focus();
        else if (may("/requests")) go("/requests", { search: true });
        e.preventDefault();
        break;
      }
      case "?":
        help();
        break;
      case "j":
      case "k":
        if (focusRow(e.key === "j" ? 1 : -1)) e.preventDefault();
        break;
    }
  });
}
