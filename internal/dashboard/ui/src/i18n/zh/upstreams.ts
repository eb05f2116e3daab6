import type { upstreams as en } from "../en/upstreams";

export const upstreams: typeof en = {};
