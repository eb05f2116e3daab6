import type { live as en } from "../en/live";

export const live: typeof en = {};
