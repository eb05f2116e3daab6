import type { why as en } from "../en/why";

export const why: typeof en = {};
