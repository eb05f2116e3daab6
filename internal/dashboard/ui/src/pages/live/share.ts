// One event stream a browser. Over HTTP/1.1 a browser opens six connections to
// a host, so a stream in each of seven tabs leaves none for the seventh. The
// tab that holds a lock opens the stream and passes the events on to the others.
// A hidden tab gives the lock up and opens nothing. Without locks (plain HTTP
// beyond loopback has none) each visible tab has a stream of its own.

import { eventNames, type LiveEvent } from "./feed.ts";

// state "shared" is a tab that another one feeds.
export type LinkState = "connecting" | "open" | "shared" | "broken" | "closed";

export interface Handlers {
  event: (e: LiveEvent) => void;
  state: (s: LinkState) => void;
}

// Browser is what share needs of a browser; tests replace it.
export interface Browser {
  locks?: Pick<LockManager, "request">;
  channel: (name: string) => Pick<BroadcastChannel, "postMessage" | "close" | "onmessage">;
  source: (url: string) => Pick<EventSource, "addEventListener" | "close" | "onopen" | "onerror" | "readyState">;
}

export function pageBrowser(): Browser {
  return {
    locks: navigator.locks,
    channel: (name) => new BroadcastChannel(name),
    source: (url) => new EventSource(url),
  };
}

// share starts to follow the stream of url and returns what ends it.
export function share(url: string, on: Handlers, browser: Browser = pageBrowser()): () => void {
  const name = "forward-live " + url;
  const channel = browser.channel(name);
  const ended = new AbortController();
  let leading = false;
  let last: LinkState = "connecting"; // of the stream, where this tab leads
  channel.onmessage = (m: MessageEvent) => {
    const message = m.data as { events?: LiveEvent[]; state?: LinkState; join?: true };
    if (leading) {
      if (message.join) channel.postMessage({ state: last });
      return;
    }
    if (message.state) on.state(message.state === "open" ? "shared" : message.state);
    message.events?.forEach(on.event);
  };
  on.state("connecting");
  channel.postMessage({ join: true });

  const lead = () =>
    new Promise<void>((release) => {
      if (ended.signal.aborted) return release();
      leading = true;
      let batch: LiveEvent[] = [];
      let timer: ReturnType<typeof setTimeout> | undefined;
      const flush = () => {
        timer = undefined;
        channel.postMessage({ events: batch, state: "open" });
        batch = [];
      };
      const report = (s: LinkState) => {
        last = s;
        on.state(s);
        channel.postMessage({ state: s });
      };
      const source = browser.source(url);
      source.onopen = () => report("open");
      // 2 is EventSource.CLOSED: the browser does not try again, for the answer
      // was no stream (a session that ended, too many viewers).
      source.onerror = () => report(source.readyState === 2 ? "broken" : "connecting");
      for (const event of eventNames) {
        source.addEventListener(event, ((m: MessageEvent<string>) => {
          let data: unknown;
          try {
            data = JSON.parse(m.data);
          } catch {
            return;
          }
          const e = { event, data } as LiveEvent;
          on.event(e);
          batch.push(e);
          timer ??= setTimeout(flush, 100);
        }) as EventListener);
      }
      ended.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        source.close();
        leading = false;
        release();
      });
    });

  if (browser.locks) browser.locks.request(name, { signal: ended.signal }, lead).catch(() => {});
  else void lead();
  return () => {
    ended.abort();
    channel.close();
    on.state("closed");
  };
}
