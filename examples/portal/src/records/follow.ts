// What becomes of a record, or of the records of a patient, while they are shown.
import { useEffect, useRef, useState } from 'react';
import { useActing } from '../api/acting';
import { latestOf, useFeed } from '../api/feed';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { AnchorState, RecordFeedSubscription } from '../gql/graphql';
import type { FoundRecord } from './queries';

const RECORD_FEED = graphql(`
  subscription RecordFeed($recordId: UUID, $patientId: UUID, $after: Cursor) {
    recordUpdated(recordId: $recordId, patientId: $patientId, after: $after) { cursor change recordId state }
  }
`);

type Update = NonNullable<RecordFeedSubscription['recordUpdated']>;

/** How long nothing is told until it counts as all that was told: what happened before comes at once. Unit: milliseconds. */
const QUIET = 400;

const isVersion = (update: Update): boolean => update.change !== 'ANCHORING';

/**
 * Follows a record through its versions. `again` reads the one that is shown, where its anchor has changed since. Answers the
 * ID of the newest version that was stored after it.
 *
 * The stream begins with the first update there is, so that none is missed between what was read and what is told.
 * Nobody is told of records of somebody for whom they act.
 */
export function useNewerVersion(id: string, shown: FoundRecord | undefined, again?: () => void): string | undefined {
  const isPaused = useActing() !== null;
  const { events, pinned } = useFeed(RECORD_FEED, { recordId: id, after: 'earliest' }, (data) => data.recordUpdated, { isPinned: isVersion, isPaused });
  const [newer, setNewer] = useState<{ of: string; id: string }>();
  const answered = useRef<string>(undefined);
  const of = shown?.id;
  const state = shown?.anchor.state;
  const closing = shown?.anchor.closing?.state;
  const read = useRef(again);
  read.current = again;
  useEffect(() => {
    if (!of) return undefined;
    const timer = setTimeout(() => {
      const place = pinned.findIndex((update) => update.recordId === of);
      const [newest] = pinned;
      if (newest && place > 0) setNewer({ of, id: newest.recordId });
      const last = events.find((update) => update.recordId === of);
      // What is not as it was told is read once: the log may be behind what was read, too.
      if (!last || last.cursor === answered.current || (last.state ? last.state === state : closing === 'CONFIRMED')) return;
      answered.current = last.cursor;
      read.current?.();
    }, QUIET);
    return () => clearTimeout(timer);
  }, [events, pinned, of, state, closing]);
  return newer?.of === of ? newer?.id : undefined;
}

/** The states of which a list says something else than of the one before. */
const LISTED: ReadonlySet<AnchorState> = new Set(['CONFIRMED', 'FAILED', 'REORGED']);

/**
 * Follows the records of a patient for a list of them. `latest` changes whenever the list has to be read again. To read a list of
 * somebody else's records is written into that person's log: it is read again for new versions alone.
 */
export function useRecordNews(patientId: string | undefined): { latest: string | undefined; count: number } {
  const isPaused = useActing() !== null;
  const me = session.get()?.person.id;
  const isOwn = !patientId || patientId === me;
  const isPinned = (update: Update) => isVersion(update) || (isOwn && !!update.state && LISTED.has(update.state));
  const { pinned, missed } = useFeed(RECORD_FEED, { patientId: patientId ?? me ?? null }, (data) => data.recordUpdated, { isPinned, isPaused, mayMissFirst: isOwn });
  return { latest: latestOf(pinned[0], missed), count: pinned.filter(isVersion).length };
}
