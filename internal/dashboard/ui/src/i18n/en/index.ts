// English: its form is that of every language.
import { common } from "./common";
import { errors } from "./errors";
import { overview } from "./overview";
import { usage } from "./usage";
import { audit } from "./audit";
import { settings } from "./settings";
import { requests } from "./requests";
import { live } from "./live";
import { playground } from "./playground";
import { why } from "./why";
import { keys } from "./keys";
import { connect } from "./connect";
import { upstreams } from "./upstreams";
import { cache } from "./cache";
import { help, shell, signin } from "./shell";

export const texts = { common, errors, overview, usage, audit, settings, requests, live, playground, why, keys, connect, upstreams, cache, help, shell, signin };
export type Texts = typeof texts;
