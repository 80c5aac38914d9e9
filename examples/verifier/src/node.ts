// A node of one's own: blocks, logs, and what the contract itself says of its head.
import { createPublicClient, http, parseAbi, type Address, type Hex, type PublicClient } from 'viem';
import type { Log } from './events.js';
import { Impossible } from './options.js';

const ABI = parseAbi([
  'function head() view returns (bytes25 head, uint40 seq, bool paused)',
  'function VERSION() view returns (uint256)',
]);

/** How many blocks' logs are kept. */
const KEPT = 64;

/** Where the contract's chain of events stands after a block. */
export interface Position {
  sequence: number;
  head: Hex;
  blockNumber: number;
  blockHash: Hex;
}

export class Node {
  readonly #client: PublicClient;
  readonly #registry: Address;
  readonly #logs = new Map<Hex, Log[]>();

  constructor(url: string, registry: Address) {
    this.#client = createPublicClient({ transport: http(url, { retryCount: 0, timeout: 10_000 }) });
    this.#registry = registry;
  }

  /** The chain and the version of the contract there. */
  async introduce(): Promise<{ chainId: number; version: bigint }> {
    const chainId = await this.#client.getChainId();
    const code = await this.#client.getCode({ address: this.#registry });
    if (!code) throw new Impossible(`there is no contract at ${this.#registry} on chain ${chainId}`);
    const version = await this.#client.readContract({ address: this.#registry, abi: ABI, functionName: 'VERSION' });
    if (version !== 2n) throw new Impossible(`the contract's version is ${version}; this program knows 2`);
    return { chainId, version };
  }

  /** The hash of the block of this number; null where the node has none. */
  async blockHash(number: number): Promise<Hex | null> {
    const latest = await this.#client.getBlockNumber({ cacheTime: 0 });
    if (latest < BigInt(number)) return null;
    return (await this.#client.getBlock({ blockNumber: BigInt(number) })).hash;
  }

  /** The number of the last block that cannot be undone; -1 where the node does not say, and nothing is forgotten. */
  async finalized(): Promise<number> {
    try {
      return Number((await this.#client.getBlock({ blockTag: 'finalized' })).number);
    } catch {
      return -1;
    }
  }

  /** Whether the node follows the chain: it fetches no past, and its newest block is no older than this. Unit: milliseconds. */
  async isCurrent(age: number): Promise<boolean> {
    const { timestamp } = await this.#client.getBlock({ blockTag: 'latest' });
    if (Date.now() - Number(timestamp) * 1000 > age) return false;
    return (await this.#client.request({ method: 'eth_syncing' } as never)) === false;
  }

  /** The contract's logs in a block, which its hash determines. */
  async logsOf(blockHash: Hex): Promise<Log[]> {
    const known = this.#logs.get(blockHash);
    if (known) return known;
    const logs = await this.#client.getLogs({ address: this.#registry, blockHash });
    // A block that was just found may not have been read by the whole of the node: only what is there is kept.
    if (logs.length > 0) {
      for (const oldest of this.#logs.keys()) {
        if (this.#logs.size < KEPT) break;
        this.#logs.delete(oldest);
      }
      this.#logs.set(blockHash, logs);
    }
    return logs;
  }

  /** The contract's logs in these blocks, both included. */
  async logsBetween(from: number, to: number): Promise<Log[]> {
    if (from > to) return [];
    return await this.#client.getLogs({ address: this.#registry, fromBlock: BigInt(from), toBlock: BigInt(to) });
  }

  /** What the contract says of itself at the newest block; null where that block was undone meanwhile. */
  async position(): Promise<Position | null> {
    const block = await this.#client.getBlock({ blockTag: 'latest' });
    const [head, sequence] = await this.#client.readContract({
      address: this.#registry,
      abi: ABI,
      functionName: 'head',
      blockNumber: block.number,
    });
    const number = Number(block.number);
    if ((await this.blockHash(number)) !== block.hash) return null;
    return { sequence, head, blockNumber: number, blockHash: block.hash };
  }
}
