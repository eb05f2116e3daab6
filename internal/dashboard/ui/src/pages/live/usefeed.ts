// A hook that follows the live feed while the tab is in sight.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiFailure, apiURL, get } from "../../api/client";
import type { QueueState, Running } from "../../api/types";
import { apply, emptyFeed, snapshot, type Feed, type LiveEvent } from "./feed.ts";
import { share, type LinkState } from "./share.ts";

const drawEvery = 250; // milliseconds between two drawings, at most

export interface LiveFeed {
  feed: Feed;
  state: LinkState | "hidden";
  failure: ApiFailure | null;
  connect: () => void;
  drawn: number; // changes with each drawing
}

/** useFeed draws nothing new while paused; the events are kept. */
export function useFeed(paused: boolean): LiveFeed {
  const feed = useRef<Feed>(emptyFeed());
  const [state, setState] = useState<LinkState | "hidden">("connecting");
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [drawn, draw] = useState(0);
  const [turn, setTurn] = useState(0);
  const visible = useVisible();

  useEffect(() => {
    if (!visible) {
      setState("hidden");
      return;
    }
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let waiting: LiveEvent[] | null = []; // events that come before the snapshot
    const soon = () => (timer ??= setTimeout(() => {
      timer = undefined;
      draw((n) => n + 1);
    }, drawEvery));
    const follow = () => {
      for (const e of waiting ?? []) apply(feed.current, e);
      waiting = null;
      soon();
    };
    const read = () =>
      get<{ running: Running[]; queues: QueueState[] }>("/running", {}, { signal: abort.signal })
        .then((now) => {
          snapshot(feed.current, now);
          setFailure(null);
          follow();
        })
        .catch((err) => {
          if (err instanceof ApiFailure) {
            setFailure(err);
            follow();
          } else if ((err as Error).name !== "AbortError") throw err;
        });
    const event = (e: LiveEvent) => {
      if (waiting) waiting.push(e);
      else apply(feed.current, e);
      soon();
    };
    const stop = share(apiURL("/live"), { event, state: setState });
    void read();
    return () => {
      abort.abort();
      clearTimeout(timer);
      stop();
    };
  }, [visible, turn]);

  // The ages and speeds go on by the second.
  useEffect(() => {
    if (!visible || paused) return;
    const timer = setInterval(() => draw((n) => n + 1), 1_000);
    return () => clearInterval(timer);
  }, [visible, paused]);

  const shown = useRef<Feed>(feed.current);
  if (!paused) shown.current = { ...feed.current, running: new Map(feed.current.running), done: feed.current.done.slice() };
  const connect = useCallback(() => setTurn((n) => n + 1), []);
  return { feed: shown.current, state, failure, connect, drawn };
}

function useVisible(): boolean {
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const update = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", update);
    return () => document.removeEventListener("visibilitychange", update);
  }, []);
  return visible;
}
