// Views: filters, time and columns of the page Requests under a name. A view is
// a query of the address and holds no secret; it stays in this browser.

export interface View {
  name: string;
  query: string;
}

const maxViews = 30;

export function readViews(text: string | null): View[] {
  try {
    const list = JSON.parse(text ?? "[]") as unknown;
    if (!Array.isArray(list)) return [];
    return list.filter((v): v is View => typeof v?.name === "string" && typeof v?.query === "string").slice(0, maxViews);
  } catch {
    return [];
  }
}

// addView keeps one view of a name, the newest first.
export function addView(views: View[], view: View): View[] {
  return [view, ...views.filter((v) => v.name !== view.name)].slice(0, maxViews);
}

// viewQuery is the part of a query that a view keeps, without the open request.
export function viewQuery(query: URLSearchParams): string {
  const kept = new URLSearchParams(query);
  for (const name of ["open", "search", "before"]) kept.delete(name);
  return kept.toString();
}

// Zoom is a part of the time range, chosen in the histogram: "since_until".
export function readZoom(text: string | null): { since: string; until: string } | null {
  const [since, until] = (text ?? "").split("_");
  if (!since || !until || !(Date.parse(since) < Date.parse(until))) return null;
  return { since, until };
}
