// Filters of a list. They stand in the query of the place; a value that starts
// with ! excludes.
import type { ComponentChildren } from "preact";
import { t } from "../i18n";
import { place, setQuery } from "../router";
import { Icon } from "./icon";
import { Name } from "./values";

/** Filters that the API of requests and usage takes; those that GET /usage takes
 *  too come first. */
export const usageFilters = ["key", "model", "route", "operation", "status", "cache", "user", "tag", "session", "upstream", "answered", "cause", "finish"] as const;
export const filterNames = [...usageFilters, "min_ms", "min_cost", "id", "unpriced", "unmetered"] as const;
export type FilterName = (typeof filterNames)[number];

/** filtersOf returns the filters of a place, for the API and for links. */
export function filtersOf(query: URLSearchParams, names: readonly FilterName[] = filterNames): Partial<Record<FilterName, string>> {
  const filters: Partial<Record<FilterName, string>> = {};
  for (const name of names) {
    const value = query.get(name);
    if (value !== null) filters[name] = value;
  }
  return filters;
}

/** The filters that are set, each with a button that removes it. text gives a
 *  value another form (the name of a key for its id). */
export function Filters({ names = filterNames, text, children }: {
  names?: readonly FilterName[];
  text?: (name: FilterName, value: string) => string | undefined;
  children?: ComponentChildren; // controls that add filters
}) {
  const set = Object.entries(filtersOf(place.value.query, names)) as [FilterName, string][];
  if (set.length === 0 && !children) return null;
  return (
    <div class="row filters">
      {set.map(([name, value]) => {
        const not = value.startsWith("!");
        const plain = not ? value.slice(1) : value;
        const shown = text?.(name, plain) ?? plain;
        const label = t.common.filters[name];
        return (
          <span key={name} class={`chip${not ? " not" : ""}`}>
            <span class="muted">{label}{not ? " ≠" : ""}</span>
            <Name>{shown || t.common.none}</Name>
            <button type="button" onClick={() => setQuery({ [name]: null, before: null })} aria-label={t.common.removeFilter(label)}><Icon name="close" /></button>
          </span>
        );
      })}
      {children}
      {set.length > 1 && (
        <button type="button" class="button quiet small" onClick={() => setQuery(Object.fromEntries([...set.map(([name]) => [name, null]), ["before", null]]))}>{t.common.clearFilters}</button>
      )}
    </div>
  );
}

/** A value in a table that filters the list by itself; with Alt it excludes. */
export function Filterable({ name, value, children }: { name: FilterName; value: string; children?: ComponentChildren }) {
  if (!value) return <span class="muted">–</span>;
  return (
    <button type="button" class="filterable" title={t.common.filterHint} onClick={(e) => setQuery({ [name]: (e.altKey ? "!" : "") + value, before: null }, true)}>
      {children ?? <Name>{value}</Name>}
    </button>
  );
}
