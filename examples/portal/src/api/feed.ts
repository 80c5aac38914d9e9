// Follows a subscription: where the stream ends, as it does with each access token, it goes on after the last event.
import type { TypedDocumentNode } from '@urql/core';
import { useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';

/** How long after the end of a stream the next one is begun. Unit: milliseconds. */
const AGAIN = 2_000;
/** How many events are kept. */
const KEPT = 200;

export interface Feed<T> {
  /** Newest first. */
  readonly events: readonly T[];
  readonly isOpen: boolean;
}

export function useFeed<Data, Variables extends { after?: string | null | undefined }, T extends { cursor: string }>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  eventOf: (data: Data) => T | undefined,
): Feed<T> {
  const client = useClient();
  const [events, setEvents] = useState<readonly T[]>([]);
  const [isOpen, setOpen] = useState(false);
  const asked = useRef({ variables, eventOf });
  useEffect(() => {
    let after = asked.current.variables.after;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    const seen = new Set<string>();
    const begin = () => {
      // A stream that says nothing is open, too: it tells what happens from now on.
      setOpen(true);
      stop = client.subscription(query, { ...asked.current.variables, ...(after ? { after } : {}) } as Variables).subscribe(({ data, error, hasNext }) => {
        const event = data && asked.current.eventOf(data);
        if (event && !seen.has(event.cursor)) {
          seen.add(event.cursor);
          after = event.cursor;
          setEvents((before) => [event, ...before].slice(0, KEPT));
        }
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
  return { events, isOpen };
}
