// Follows a subscription: where the stream ends, as it does with each access token, it goes on after the last event.
import type { TypedDocumentNode } from '@urql/core';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';

/** How long after the end of a stream the next one is begun. Unit: milliseconds. */
const AGAIN = 2_000;
/** How many events are kept. */
const KEPT = 200;

export interface Feed<T> {
  /** The newest ones, newest first. */
  readonly events: readonly T[];
  /** All of those that are to be kept, however many others came after them, newest first. */
  readonly pinned: readonly T[];
  readonly isOpen: boolean;
}

export function useFeed<Data, Variables extends { after?: string | null | undefined }, T extends { cursor: string }>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  eventOf: (data: Data, extensions: Readonly<Record<string, unknown>>) => T | undefined,
  isPinned: (event: T) => boolean = () => false,
): Feed<T> {
  const client = useClient();
  const [told, setTold] = useState<Omit<Feed<T>, 'isOpen'>>({ events: [], pinned: [] });
  const [isOpen, setOpen] = useState(false);
  const asked = useRef({ variables, eventOf, isPinned });
  useEffect(() => {
    let after = asked.current.variables.after;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
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
      }));
    };
    const take = (event: T) => {
      // Each is delivered in order and at least once: the end of a stream repeats its last one.
      if (event.cursor === after) return;
      after = event.cursor;
      waiting.push(event);
      if (waiting.length === 1) setTimeout(() => isOver || draw(), 16);
    };
    const begin = () => {
      // A stream that says nothing is open, too: it tells what happens from now on.
      setOpen(true);
      stop = client.subscription(query, { ...asked.current.variables, ...(after ? { after } : {}) } as Variables).subscribe(({ data, error, extensions, hasNext }) => {
        const event = data && asked.current.eventOf(data, extensions ?? {});
        if (event) take(event);
        if (error || hasNext === false) again();
      }).unsubscribe;
    };
    const again = () => {
      if (isOver || timer) return;
      setOpen(false);
      timer = setTimeout(() => {
        timer = undefined;
        stop?.();
        begin();
      }, AGAIN);
    };
    begin();
    return () => {
      isOver = true;
      clearTimeout(timer);
      stop?.();
    };
  }, [client, query]);
  return { ...told, isOpen };
}

/** How often a list is read again at most, however much happens. Unit: milliseconds. */
const PACE = 2_000;

/** Reads a list again when something happened to it, which `latest` tells: at once, and then no more often than `PACE`. */
export function useReread(latest: string | undefined, again: (options: { requestPolicy: 'network-only' }) => void): void {
  const last = useRef(0);
  const read = useCallback(() => {
    last.current = Date.now();
    again({ requestPolicy: 'network-only' });
  }, [again]);
  useEffect(() => {
    if (!latest) return undefined;
    const timer = setTimeout(read, Math.max(0, last.current + PACE - Date.now()));
    return () => clearTimeout(timer);
  }, [latest, read]);
}
