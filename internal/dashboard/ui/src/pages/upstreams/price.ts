import { money } from "../../format";

/** The price of a million tokens: $2.50, $0.075; an unknown one is a dash. */
export function priceText(nano: number | null): string {
  return nano === null ? "–" : money(nano);
}
