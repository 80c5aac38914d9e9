// Follows a subscription: where the stream ends, as it does with each access token, it goes on after the last event.
import type { TypedDocumentNode } from '@urql/core';
import { useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';
import { isLive } from './live';
import { useStore } from './store';

/** How long after the end of a stream the next one is begun, and at most where one after the other ends soon. Unit: milliseconds. */
const AGAIN = 2_000;
const AGAIN_AT_MOST = 30_000;
/** How long a stream lasts that did not end soon. Unit: milliseconds. */
const LASTING = 60_000;
/** How long a tab is hidden until its streams are closed: a browser has six connections by HTTP/1.1 for all of its tabs. Unit: milliseconds. */
const HIDDEN = 5_000;
/** How long after a stream has begun it is told that something may have been missed before. Unit: milliseconds. */
const BEGUN = 1_000;
/** How many events are kept. */
const KEPT = 200;

interface Told<T> {
  /** The newest ones, newest first. */
  readonly events: readonly T[];
  /** All of those that are to be kept, however many others came after them, newest first. */
  readonly pinned: readonly T[];
  /** How often a stream began anew that had no cursor to go on after: what happened meanwhile is not told, and has to be read. */
  readonly missed: number;
}

export interface Feed<T> extends Told<T> {
  readonly isOpen: boolean;
}

interface Options<T> {
  readonly isPinned?: (event: T) => boolean;
  readonly isPaused?: boolean;
  /** Whether it goes on where pages do not renew themselves. */
  readonly isAlways?: boolean;
  /** Whether something may have been missed between what was read first and the beginning of the first stream. */
  readonly mayMissFirst?: boolean;
}

export function useFeed<Data, Variables extends { after?: string | null | undefined }, T extends { cursor: string }>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  eventOf: (data: Data, extensions: Readonly<Record<string, unknown>>) => T | undefined,
  { isPinned = () => false, isPaused = false, isAlways = false, mayMissFirst = false }: Options<T> = {},
): Feed<T> {
  const client = useClient();
  const isStill = !useStore(isLive) && !isAlways;
  const [told, setTold] = useState<Told<T>>({ events: [], pinned: [], missed: 0 });
  const [isOpen, setOpen] = useState(false);
  const asked = useRef({ variables, eventOf, isPinned, mayMissFirst });
  // A stream that was paused goes on where it was.
  const at = useRef({ after: variables.after, isFirst: true });
  useEffect(() => {
    if (isPaused || isStill) return undefined;
    const { after: first } = asked.current.variables;
    const place = at.current;
    let isOver = false;
    let isResting = false;
    let began = 0;
    let wait = AGAIN;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let hiding: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    let waiting: T[] = [];
    // A long history comes in thousands a second: it is drawn once for each frame.
    const draw = () => {
      const newest = waiting.reverse();
      waiting = [];
      const pinned = newest.filter(asked.current.isPinned);
      setTold((before) => ({
        events: [...newest, ...before.events].slice(0, KEPT),
        pinned: pinned.length > 0 ? [...pinned, ...before.pinned] : before.pinned,
        missed: before.missed,
      }));
    };
    const take = (event: T) => {
      // Each is delivered in order and at least once: the end of a stream repeats its last one.
      if (event.cursor === place.after) return;
      place.after = event.cursor;
      wait = AGAIN;
      waiting.push(event);
      if (waiting.length === 1) setTimeout(() => isOver || draw(), 16);
    };
    const miss = () => isOver || setTold((before) => ({ ...before, missed: before.missed + 1 }));
    const begin = () => {
      timer = undefined;
      stop?.();
      // A stream that says nothing is open, too: it tells what happens from now on.
      setOpen(true);
      if (!place.after && (!place.isFirst || asked.current.mayMissFirst)) setTimeout(miss, BEGUN);
      place.isFirst = false;
      began = performance.now();
      stop = client.subscription(query, { ...asked.current.variables, ...(place.after ? { after: place.after } : {}) } as Variables).subscribe(({ data, error, extensions, hasNext }) => {
        const event = data && asked.current.eventOf(data, extensions ?? {});
        if (event) take(event);
        // A log that was restored to an earlier state does not know the cursor: all is told anew.
        if (place.after !== first && error?.graphQLErrors.some((each) => each.extensions['code'] === 'BAD_USER_INPUT')) {
          place.after = first;
          setTold((before) => ({ events: [], pinned: [], missed: before.missed }));
        }
        if (error || hasNext === false) again();
      }).unsubscribe;
    };
    const again = () => {
      if (isOver || isResting || timer) return;
      setOpen(false);
      if (performance.now() - began > LASTING) wait = AGAIN;
      timer = setTimeout(begin, wait);
      wait = Math.min(wait * 2, AGAIN_AT_MOST);
    };
    const rest = () => {
      isResting = true;
      clearTimeout(timer);
      timer = undefined;
      stop?.();
      stop = undefined;
      setOpen(false);
    };
    const look = () => {
      clearTimeout(hiding);
      if (document.visibilityState === 'hidden') hiding = setTimeout(rest, HIDDEN);
      else if (isResting) {
        isResting = false;
        begin();
      }
    };
    const goOn = () => {
      if (!timer) return;
      clearTimeout(timer);
      begin();
    };
    begin();
    look();
    document.addEventListener('visibilitychange', look);
    window.addEventListener('online', goOn);
    return () => {
      // What was told, and is not drawn yet.
      if (waiting.length > 0) draw();
      isOver = true;
      setOpen(false);
      document.removeEventListener('visibilitychange', look);
      window.removeEventListener('online', goOn);
      clearTimeout(hiding);
      clearTimeout(timer);
      stop?.();
    };
  }, [client, query, isPaused, isStill]);
  return { ...told, isOpen };
}

/** What changes whenever a list has to be read again; undefined where nothing was told. */
export const latestOf = (newest: { readonly cursor: string } | undefined, missed: number): string | undefined => (newest || missed > 0 ? `${newest?.cursor ?? ''} ${missed}` : undefined);

/** How often a list is read again at most, however much happens. Unit: milliseconds. */
const PACE = 2_000;

/** Reads a list again when something happened to it, which `latest` tells: at once, and then no more often than `PACE`. */
export function useReread(latest: string | undefined, again: (options: { requestPolicy: 'network-only' }) => void): void {
  const last = useRef(0);
  // A list that is shown anew is read then, with all that was told before.
  const answered = useRef(latest);
  useEffect(() => {
    if (!latest || latest === answered.current) return undefined;
    const read = () => {
      last.current = Date.now();
      answered.current = latest;
      again({ requestPolicy: 'network-only' });
    };
    const timer = setTimeout(read, Math.max(0, last.current + PACE - Date.now()));
    return () => clearTimeout(timer);
  }, [latest, again]);
}
