import type { cache as en } from "../en/cache";

export const cache: typeof en = {};
