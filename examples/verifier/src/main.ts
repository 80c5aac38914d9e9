// Follows the registry's events without an account, and holds each against a node of one's own.
import { writeFileSync } from 'node:fs';
import { Api, StreamEnded, type Entry } from './api.js';
import { firstHead } from './events.js';
import { Ledger, Lie } from './ledger.js';
import { Node } from './node.js';
import { Impossible, readOptions, USAGE, type Options } from './options.js';
import { load, save } from './state.js';

/** How many entries wait to be checked before no more are read. */
const WAITING = 1000;
/** After how many times the patience without agreement it warns: who is never reached, or always hangs up, lies to nobody. */
const WARN_AFTER = 10;
/** The longest wait before the service is asked again. Unit: milliseconds. */
const LONGEST_PAUSE = 30_000;

function say(what: string, more: Record<string, unknown> = {}): void {
  console.log(JSON.stringify({ at: new Date().toISOString(), what, ...more }));
}

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** What the service tells, as it comes, across its restarts. */
class Stream {
  readonly entries: Entry[] = [];
  isConnected = false;
  /** The service refused the cursor: its log is another one. */
  isRefused = false;
  #arrived: () => void = () => {};
  #current = new AbortController();

  constructor(
    private readonly api: Api,
    private readonly stopping: AbortSignal,
  ) {}

  /** Waits until something came, and for no longer than this. */
  async wait(milliseconds: number): Promise<void> {
    if (this.entries.length > 0 || this.isRefused || this.stopping.aborted) return;
    await Promise.race([sleep(milliseconds), new Promise<void>((resolve) => (this.#arrived = resolve))]);
  }

  /** Opens the stream anew, after the last entry that came. */
  reopen(): void {
    this.#current.abort();
  }

  stop(): void {
    this.#current.abort();
    this.#arrived();
  }

  async run(after: string): Promise<void> {
    let pause = 250;
    while (!this.stopping.aborted) {
      try {
        // Whoever refuses says so at once; until the first entry nothing else shows that the stream is open.
        this.isConnected = true;
        this.#current = new AbortController();
        for await (const entry of this.api.follow(after, this.#current.signal)) {
          this.entries.push(entry);
          after = entry.cursor;
          pause = 250;
          this.#arrived();
          while (this.entries.length > WAITING && !this.stopping.aborted) await sleep(50);
        }
      } catch (error) {
        if (this.stopping.aborted) return;
        this.isConnected = false;
        if (error instanceof StreamEnded && error.code === 'BAD_USER_INPUT') {
          this.isRefused = true;
          after = 'earliest';
          this.#arrived();
          // What the new log tells may not be mistaken for what the one before told.
          while (this.isRefused && !this.stopping.aborted) await sleep(50);
        }
        say('the stream ended, and is opened again', { why: error instanceof Error ? error.message : String(error) });
      }
      await sleep(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  }
}

/** Asks until there is an answer; with `--once` only for as long as one is patient. */
async function introduced(node: Node, options: Options): Promise<{ chainId: number; version: bigint }> {
  const began = Date.now();
  for (;;) {
    try {
      return await node.introduce();
    } catch (error) {
      if (error instanceof Impossible) throw error;
      if (options.once && Date.now() - began > options.patience) throw new Impossible('the node does not answer');
      say('the node does not answer');
      await sleep(options.poll);
    }
  }
}

async function follow(options: Options, stopping: AbortSignal): Promise<void> {
  const node = new Node(options.node, options.registry);
  const { chainId, version } = await introduced(node, options);
  const first = { sequence: 0, head: firstHead(chainId, options.registry, version), blockNumber: 0 };
  const state = load(options.state, chainId, options.registry);
  const ledger = new Ledger(chainId, options.registry, options.patience, state, first);
  const api = new Api(options.api);
  const stream = new Stream(api, stopping);
  stopping.addEventListener('abort', () => stream.stop(), { once: true });
  say('following', { registry: options.registry, chainId, after: ledger.cursor, sequence: ledger.base.sequence });
  const running = stream.run(ledger.cursor);
  let saved = '';
  let movedAt = Date.now();
  let told = -1;
  let agreedAt = Date.now();
  let isWarned = false;
  while (!stopping.aborted) {
    await stream.wait(options.poll);
    if (stream.isRefused) {
      stream.entries.length = 0;
      ledger.restart();
      stream.isRefused = false;
      say('the service has another log: everything is checked again');
    }
    try {
      // What cannot be checked now stays where it is, and is taken again.
      for (let entry = stream.entries[0]; entry; entry = stream.entries[0]) {
        await ledger.take(entry, node);
        stream.entries.shift();
      }
      const isRight = await ledger.verify(node);
      const isAll = isRight && (await ledger.compare(node, api, stream.isConnected, () => stream.reopen()));
      const now = ledger.state();
      const text = JSON.stringify(now);
      if (text !== saved) {
        save(options.state, now);
        saved = text;
        movedAt = Date.now();
      }
      if (isAll) {
        const sequence = now.live.at(-1)?.sequence ?? now.base.sequence;
        if (sequence !== told) say('agreed', { sequence, head: now.live.at(-1)?.head ?? now.base.head });
        told = sequence;
        agreedAt = Date.now();
        isWarned = false;
        if (options.once) return;
      }
    } catch (error) {
      if (error instanceof Lie || error instanceof Impossible) throw error;
      say('the node does not answer', { why: error instanceof Error ? error.name : 'unknown' });
    }
    if (!isWarned && Date.now() - agreedAt > WARN_AFTER * options.patience) {
      isWarned = true;
      say('WARNING', { why: 'nothing was agreed for long', since: new Date(agreedAt).toISOString(), isConnected: stream.isConnected });
    }
    if (options.once && Date.now() - movedAt > 3 * options.patience) {
      throw new Impossible('the service or the node does not answer');
    }
  }
  await running;
}

function fail(error: unknown, evidence: string | undefined): number {
  if (error instanceof Lie) {
    const { verdict, message } = error;
    const line = JSON.stringify(
      { at: new Date().toISOString(), what: 'ALERT', verdict, message, evidence: error.evidence },
      (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
    );
    console.log(line);
    if (evidence) writeFileSync(evidence, `${line}\n`);
    return 1;
  }
  console.error(error instanceof Impossible ? `${error.message}\n\n${USAGE}` : error);
  return 2;
}

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
let evidence: string | undefined;
try {
  const options = readOptions(process.argv.slice(2));
  evidence = options.evidence;
  await follow(options, stopping.signal);
  process.exitCode = 0;
} catch (error) {
  process.exitCode = fail(error, evidence);
}
stopping.abort();
// Whatever is still open: the evidence is written.
setTimeout(() => process.exit(), 1000).unref();
