// The pages: their paths, who sees them, and where they stand in the navigation.
// Each is a chunk of its own, which is loaded when it is opened.
import type { ComponentType } from "preact";
import type { Session } from "../api/types";
import type { IconName } from "../components/icon";
import type { Texts } from "../i18n";

export interface PageProps {
  params: Record<string, string>; // of the path
}

export interface Page {
  id: keyof Texts["shell"] & string; // its name in the navigation
  path: string; // "/keys/:key"
  load: () => Promise<{ default: ComponentType<PageProps> }>;
  icon?: IconName;
  /** Where it stands in the navigation; without, nowhere. */
  group?: "observe" | "manage";
  /** Whether the viewer has it; without, both roles have. */
  may?: (s: Session) => boolean;
  /** A page without the frame, for a viewer who need not be signed in. */
  open?: boolean;
}

const administrator = (s: Session) => s.role === "administrator";

export const pages: Page[] = [
  { id: "connect", path: "/connect", icon: "connect", group: "observe", may: (s) => s.role === "holder", load: () => import("./connect") },
  { id: "overview", path: "/", icon: "overview", group: "observe", load: () => import("./overview") },
  { id: "live", path: "/live", icon: "live", group: "observe", load: () => import("./live") },
  { id: "requests", path: "/requests", icon: "requests", group: "observe", load: () => import("./requests") },
  { id: "why", path: "/why", icon: "why", group: "observe", load: () => import("./why") },
  { id: "usage", path: "/usage", icon: "usage", group: "observe", load: () => import("./usage") },
  { id: "keys", path: "/keys", icon: "keys", group: "manage", may: administrator, load: () => import("./keys") },
  { id: "keys", path: "/keys/new", may: administrator, load: () => import("./keys/new") },
  { id: "keys", path: "/keys/:key", may: administrator, load: () => import("./keys/key") },
  { id: "upstreams", path: "/upstreams", icon: "upstreams", group: "manage", may: administrator, load: () => import("./upstreams") },
  { id: "cache", path: "/cache", icon: "cache", group: "manage", may: administrator, load: () => import("./cache") },
  { id: "playground", path: "/playground", icon: "playground", group: "manage", may: (s) => s.features.playground, load: () => import("./playground") },
  { id: "settings", path: "/settings", icon: "settings", group: "manage", may: administrator, load: () => import("./settings") },
  { id: "audit", path: "/audit", icon: "audit", group: "manage", may: administrator, load: () => import("./audit") },
  { id: "signin", path: "/signin/:code", open: true, load: () => import("./signin") },
  { id: "handover", path: "/handover/:code", open: true, load: () => import("./handover") },
];

/** The first page of a viewer. */
export function home(s: Session): string {
  return s.role === "holder" ? "/connect" : "/";
}
