// The service, without an account: the stream of the registry's events, and how far it says to have read.
import { createClient } from 'graphql-sse';

/** What the service tells: an event was applied, or undone. */
export interface Entry {
  cursor: string;
  isUndone: boolean;
  kind: string;
  subjectHash: string | null;
  actor: string;
  sequence: number;
  head: string;
  txHash: string;
  blockNumber: number;
  blockHash: string;
  logIndex: number;
}

const FOLLOW = `subscription($after: Cursor!) { publicIntegrityEvents(after: $after) {
  cursor isUndone kind subjectHash actor sequence head txHash blockNumber blockHash logIndex
} }`;

/** Why a stream ended. */
export class StreamEnded extends Error {
  constructor(readonly code: string) {
    super(`the stream ended: ${code}`);
  }
}

export class Api {
  readonly #url: string;

  constructor(url: string) {
    this.#url = `${url}/graphql`;
  }

  /** Follows what comes after a cursor, until the stream ends, which it does with an error. */
  async *follow(after: string, signal: AbortSignal): AsyncGenerator<Entry> {
    const client = createClient({ url: this.#url, retryAttempts: 0, onMessage: () => {} });
    signal.addEventListener('abort', () => client.dispose(), { once: true });
    try {
      const request = { query: FOLLOW, variables: { after } };
      for await (const answer of client.iterate<{ publicIntegrityEvents: Entry }>(request)) {
        const [error] = answer.errors ?? [];
        if (error) throw new StreamEnded(String(error.extensions?.['code'] ?? error.message));
        if (answer.data) yield checked(answer.data.publicIntegrityEvents);
      }
      throw new StreamEnded('COMPLETE');
    } finally {
      client.dispose();
    }
  }

  /** The number of the last event that the service says to have read; null where it does not answer. */
  async headSequence(): Promise<number | null> {
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: '{ registry { headSequence } }' }),
        signal: AbortSignal.timeout(10_000),
      });
      const told = (await answer.json()) as { data?: { registry?: { headSequence?: unknown } } };
      const sequence = told.data?.registry?.headSequence;
      return typeof sequence === 'number' ? sequence : null;
    } catch {
      return null;
    }
  }
}

/** An entry whose fields have their types: a service that lies may send anything. */
function checked(entry: Entry): Entry {
  const { cursor, isUndone, kind, subjectHash, actor, sequence, head, txHash, blockNumber, blockHash, logIndex } = entry;
  const texts = [cursor, kind, actor, head, txHash, blockHash].every((it) => typeof it === 'string');
  const numbers = [sequence, blockNumber, logIndex].every((it) => Number.isSafeInteger(it) && it >= 0);
  const rest = typeof isUndone === 'boolean' && (subjectHash === null || typeof subjectHash === 'string');
  if (!texts || !numbers || !rest) throw new StreamEnded('an entry that is none');
  return { cursor, isUndone, kind, subjectHash, actor, sequence, head, txHash, blockNumber, blockHash, logIndex };
}
