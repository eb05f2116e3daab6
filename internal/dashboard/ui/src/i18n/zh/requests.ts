import type { requests as en } from "../en/requests";

export const requests: typeof en = {};
