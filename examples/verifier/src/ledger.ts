// What was told, held against the node: every entry against its log, the logs against the heads, the heads against the
// contract's own.
import type { Address, Hex } from 'viem';
import type { Api, Entry } from './api.js';
import { nextHead, read, type ChainEvent, type Log } from './events.js';
import type { Node, Position } from './node.js';
import type { Base, State } from './state.js';

/**
 * Who lied, and how.
 *
 * FORGED: the service tells an event that is on no chain. ALTERED: it tells one otherwise than the chain has it.
 * WITHHELD: it does not tell one that it has read. BEHIND: it says that it has not read what is on the chain for long.
 * CONTRADICTION: it tells two things that cannot both be. NODE: the node contradicts itself.
 */
export type Verdict = 'FORGED' | 'ALTERED' | 'WITHHELD' | 'BEHIND' | 'CONTRADICTION' | 'NODE';

export class Lie extends Error {
  constructor(
    readonly verdict: Verdict,
    message: string,
    readonly evidence: Record<string, unknown>,
  ) {
    super(message);
  }
}

/** Where the contract's chain of events stands after one of them. */
interface Place {
  sequence: number;
  head: string;
  blockNumber: number;
}

/** How long something was seen to be so. What nobody looked at for long, as while a node is away, did not last. */
class Lasting {
  #since: number | null = null;
  #seen = 0;

  constructor(private readonly longestHole: number) {}

  /** It is so now. Gives since how long. Unit: milliseconds. */
  see(): number {
    const now = Date.now();
    if (this.#since === null || now - this.#seen > this.longestHole) this.#since = now;
    this.#seen = now;
    return now - this.#since;
  }

  /** It is not so any more. */
  end(): void {
    this.#since = null;
  }
}

interface Live {
  entry: Entry;
  isVerified: boolean;
  /** That the node has another block in the place of its own, or none. */
  missing: Lasting;
}

/** The fields of an entry that a log says, too. */
const FIELDS = ['kind', 'subjectHash', 'actor', 'sequence', 'head', 'txHash'] as const;

export class Ledger {
  readonly #live = new Map<number, Live>();
  readonly #differs: Lasting;
  #hasDoubted = false;
  cursor: string;
  base: Base;

  constructor(
    private readonly chainId: number,
    private readonly registry: Address,
    private readonly patience: number,
    state: State | null,
    private readonly first: Base,
  ) {
    this.#differs = new Lasting(patience);
    this.cursor = state?.cursor ?? 'earliest';
    this.base = state?.base ?? first;
    for (const entry of state?.live ?? []) this.#add(entry);
  }

  #add(entry: Entry): void {
    this.#live.set(entry.sequence, { entry, isVerified: false, missing: new Lasting(this.patience) });
  }

  /** Begins again with the first event: the service has another log than the one that the cursor was of. */
  restart(): void {
    this.#live.clear();
    this.#differs.end();
    this.#hasDoubted = false;
    this.cursor = 'earliest';
    this.base = this.first;
  }

  state(): State {
    const live = [...this.#live.values()].map(({ entry }) => entry).sort((a, b) => a.sequence - b.sequence);
    return { chainId: this.chainId, registry: this.registry, cursor: this.cursor, base: this.base, live };
  }

  /** The last event that was told. */
  #last(): Place {
    let last: Place = this.base;
    for (const { entry } of this.#live.values()) if (entry.sequence > last.sequence) last = entry;
    return last;
  }

  /** Takes what was told next. */
  async take(entry: Entry, node: Node): Promise<void> {
    const told = this.#live.get(entry.sequence);
    if (entry.isUndone) {
      if (told && told.entry.blockHash === entry.blockHash) this.#live.delete(entry.sequence);
      else if (told) throw new Lie('CONTRADICTION', 'another event of this number was undone than was told', { told: told.entry, undone: entry });
      else if (entry.sequence <= this.base.sequence) {
        throw new Lie('CONTRADICTION', 'an event was undone that cannot be undone any more', { undone: entry, base: this.base });
      }
      this.cursor = entry.cursor;
      return;
    }
    if (told && same(told.entry, entry)) {
      this.cursor = entry.cursor;
      return;
    }
    if (told) throw new Lie('CONTRADICTION', 'two events have one number', { first: told.entry, second: entry });
    if (entry.sequence <= this.base.sequence) {
      throw new Lie('CONTRADICTION', 'an event comes again that could not be undone any more', { entry, base: this.base });
    }
    const before = entry.sequence - 1;
    if (before > this.base.sequence && !this.#live.has(before)) await this.#gap(entry, node);
    this.#add(entry);
    this.cursor = entry.cursor;
  }

  /** A number was left out: either the events before were withheld, or this one is none. */
  async #gap(entry: Entry, node: Node): Promise<never> {
    const events = await this.#eventsAtHand(node);
    const missing = events.filter(({ sequence }) => sequence < entry.sequence && !this.#live.has(sequence));
    const evidence = { entry, last: this.#last(), missing };
    if (missing.length > 0) throw new Lie('WITHHELD', 'events of the chain were left out', evidence);
    throw new Lie('FORGED', 'an event has a number that no event of the chain leads to', evidence);
  }

  /** The last event that was found right and still stands. */
  async #footing(node: Node): Promise<Place> {
    for (const sequence of [...this.#live.keys()].sort((a, b) => b - a)) {
      const live = this.#live.get(sequence);
      if (live?.isVerified && (await node.blockHash(live.entry.blockNumber)) === live.entry.blockHash) return live.entry;
    }
    return this.base;
  }

  /**
   * What the node's logs hold after the last event that was found right. They have to lead to the contract's own head,
   * which the same node tells: else it hides or makes up logs, and nobody else can be accused by its word.
   */
  async #eventsAtHand(node: Node): Promise<Found[]> {
    const [last, contract] = [await this.#footing(node), await node.position()];
    const logs = contract ? await node.logsBetween(last.blockNumber, contract.blockNumber) : [];
    if (!contract || (await node.blockHash(contract.blockNumber)) !== contract.blockHash) {
      throw new Error('the newest block was undone meanwhile');
    }
    const events = logs.map(found).filter((it): it is Found => it !== null && it.sequence > last.sequence);
    let head = last.head;
    for (const { body } of events) head = nextHead(this.chainId, head as Hex, body);
    if (head !== contract.head) {
      if ((await this.#footing(node)).head !== last.head) throw new Error('what was right was undone meanwhile');
      const evidence = { last, logs: events, computed: head, contract };
      throw new Lie('NODE', "the logs of the node do not lead to the contract's own head", evidence);
    }
    return events;
  }

  /** Holds what was told against the node, in the order of the sequence. True where all of it is right. */
  async verify(node: Node): Promise<boolean> {
    let previous: Place = this.base;
    for (const sequence of [...this.#live.keys()].sort((a, b) => a - b)) {
      const live = this.#live.get(sequence);
      // While a reorganisation is being told there may be holes: what follows is looked at when they are filled.
      if (!live || sequence !== previous.sequence + 1) return false;
      if (!live.isVerified && !(await this.#check(live, previous, node))) return false;
      previous = live.entry;
    }
    return true;
  }

  /** Holds one entry against its log; false where the node has not got its block, yet or any more. */
  async #check(live: Live, previous: Place, node: Node): Promise<boolean> {
    const { entry } = live;
    const block = await node.blockHash(entry.blockNumber);
    if (block !== entry.blockHash) {
      // A node that is behind has nothing to say of a later block.
      if (live.missing.see() > this.patience && (block !== null || (await node.isCurrent(this.patience)))) {
        throw new Lie('FORGED', 'the node has no such block', { entry, nodeHasAtThisNumber: block });
      }
      return false;
    }
    live.missing.end();
    const logs = await node.logsOf(entry.blockHash as Hex);
    const log = logs.find((it) => it.logIndex === entry.logIndex);
    const event = log ? found(log) : null;
    if (!log || !event) {
      const events = await this.#eventsAtHand(node);
      // The node has found it meanwhile.
      if (events.some((it) => it.blockHash === entry.blockHash && it.logIndex === entry.logIndex)) return false;
      throw new Lie('FORGED', 'the block holds no such event', { entry, logsOfTheBlock: logs.map(found) });
    }
    const computed = nextHead(this.chainId, previous.head as Hex, event.body);
    if (event.sequence === entry.sequence && computed !== event.head) {
      throw new Lie('NODE', 'a log of the node does not follow the one before', { previous, computed, log: event });
    }
    for (const field of FIELDS) {
      if (entry[field] !== event[field]) {
        throw new Lie('ALTERED', `the chain has another ${field}`, { entry, chain: event });
      }
    }
    live.isVerified = true;
    return true;
  }

  /**
   * Holds what was told against the contract's own word. True where it is all that there is. Before anybody is accused
   * the stream is opened anew (`doubt`), once: a line can be dead without anybody's knowing.
   */
  async compare(node: Node, api: Api, isConnected: boolean, doubt: () => void): Promise<boolean> {
    const position = await node.position();
    if (!position) return false;
    const last = this.#last();
    if (position.sequence === last.sequence && position.head === last.head) {
      this.#differs.end();
      this.#hasDoubted = false;
      await this.#settle(node);
      return true;
    }
    // While nothing can be told, nobody is accused of not telling.
    if (!isConnected) this.#differs.end();
    const lasted = isConnected ? this.#differs.see() : 0;
    if (lasted > this.patience / 2 && !this.#hasDoubted) {
      this.#hasDoubted = true;
      doubt();
    } else if (lasted > this.patience) {
      await this.#accuse(position, node, api);
    }
    return false;
  }

  /** The service and the contract differ for too long. */
  async #accuse(position: Position, node: Node, api: Api): Promise<void> {
    const contract = { ...position };
    const told = this.#last();
    for (const { entry } of this.#live.values()) {
      const block = await node.blockHash(entry.blockNumber);
      // Where it has none, the node is behind.
      if (block !== null && block !== entry.blockHash) {
        throw new Lie('WITHHELD', 'it was not told that an event was undone', { entry, nodeHasAtThisNumber: block, contract });
      }
    }
    const missing = (await this.#eventsAtHand(node)).filter(({ sequence }) => sequence > told.sequence);
    if (missing.length === 0) return;
    const read = await api.headSequence();
    if (read === null) {
      // It does not answer: that is not a lie.
      this.#differs.end();
      return;
    }
    const verdict = read > told.sequence ? 'WITHHELD' : 'BEHIND';
    throw new Lie(verdict, 'the chain has events that are not told', { told, missing, serviceSaysItHasRead: read, contract });
  }

  /**
   * Forgets what cannot be undone any more: it was found right, and its block is still there. The heads do not show
   * that an event went from one block into another.
   */
  async #settle(node: Node): Promise<void> {
    const finalized = await node.finalized();
    const blocks = new Map<number, Hex | null>();
    for (const sequence of [...this.#live.keys()].sort((a, b) => a - b)) {
      const live = this.#live.get(sequence);
      if (!live || !live.isVerified || live.entry.blockNumber > finalized) return;
      const { entry } = live;
      const block = blocks.get(entry.blockNumber) ?? (await node.blockHash(entry.blockNumber));
      blocks.set(entry.blockNumber, block);
      if (block !== entry.blockHash) {
        if (block !== null && live.missing.see() > this.patience) {
          throw new Lie('WITHHELD', 'it was not told that an event was undone', { entry, nodeHasAtThisNumber: block });
        }
        return;
      }
      this.base = { sequence, head: entry.head as Hex, blockNumber: entry.blockNumber };
      this.#live.delete(sequence);
    }
  }
}

type Found = ChainEvent & { txHash: Hex; blockNumber: number; blockHash: Hex; logIndex: number };

/** A log as it is held against an entry. */
function found(log: Log): Found | null {
  const event = read(log);
  if (!event) return null;
  const { transactionHash, blockNumber, blockHash, logIndex } = log;
  return { ...event, txHash: transactionHash, blockNumber: Number(blockNumber), blockHash, logIndex };
}

function same(one: Entry, other: Entry): boolean {
  const places = one.blockHash === other.blockHash && one.logIndex === other.logIndex && one.blockNumber === other.blockNumber;
  return places && FIELDS.every((field) => one[field] === other[field]);
}
