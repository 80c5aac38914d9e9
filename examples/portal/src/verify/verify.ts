// Compares a file with the registry, by nodes of the visitor's choice and nothing else.
import { type Hex, createPublicClient, getAddress, http, keccak256 } from 'viem';
import { registryAbi } from '../gql/registry-abi';

/** The registry's code, wherever it is deployed (docs/contracts.md). */
const KNOWN_CODE = '0x19dd86b0a5f93681e1e3552ff8198362d128cf0de505bfbe885789524ccdc261';
const ZERO = /^0x0+$/;
const VERDICTS = ['NONE', 'ACTIVE', 'SUPERSEDED', 'REVOKED', 'ERASED'] as const;

export type Verdict = (typeof VERDICTS)[number];

export interface Asked {
  readonly node: string;
  readonly witness: string | undefined;
  readonly registry: string;
}

export interface Outcome {
  readonly verdict: Verdict;
  readonly hash: Hex;
  readonly chainId: number;
  readonly codeHash: Hex;
  readonly isKnownCode: boolean;
  readonly block: string;
  readonly blockHash: Hex;
  readonly anchoredAt: string | undefined;
  readonly anchorBlock: string | undefined;
  readonly registrar: string | undefined;
  readonly isFinal: boolean;
  readonly endedAt: string | undefined;
  readonly endedBy: string | undefined;
  readonly reason: number | undefined;
  readonly successor: string | undefined;
  /** Undefined where no second node was asked. */
  readonly doesWitnessAgree: boolean | undefined;
}

export async function verify(bytes: Uint8Array<ArrayBuffer>, asked: Asked): Promise<Outcome> {
  const hash = `0x${hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)))}` as Hex;
  const address = getAddress(asked.registry);
  const chain = createPublicClient({ transport: http(asked.node) });
  // Everything is read at one block, so that the second node can be asked for the same.
  const [chainId, block] = await Promise.all([chain.getChainId(), chain.getBlock({ blockTag: 'latest' })]);
  const at = { blockNumber: block.number };
  const code = await chain.getCode({ address, ...at });
  if (!code) throw new Error(`there is no contract at ${address} on chain ${chainId}`);
  const contract = { address, abi: registryAbi } as const;
  const [record, successor] = await Promise.all([
    chain.readContract({ ...contract, functionName: 'anchorOf', args: [hash], ...at }),
    chain.readContract({ ...contract, functionName: 'successorOf', args: [hash], ...at }),
  ]);
  const isFinal = await chain
    .readContract({ ...contract, functionName: 'anchorOf', args: [hash], blockTag: 'finalized' })
    .then((found) => found.status !== 0, () => false);
  const doesWitnessAgree = asked.witness === undefined ? undefined : await agrees(asked.witness, address, hash, block, record);
  const codeHash = keccak256(code);
  const isAnchored = record.status !== 0;
  return {
    verdict: VERDICTS[record.status] ?? 'NONE',
    hash,
    chainId,
    codeHash,
    isKnownCode: codeHash === KNOWN_CODE,
    block: String(block.number),
    blockHash: block.hash,
    anchoredAt: isAnchored ? moment(record.anchoredAt) : undefined,
    anchorBlock: isAnchored ? String(record.blockNumber) : undefined,
    registrar: isAnchored ? record.registrar : undefined,
    isFinal,
    endedAt: record.endedAt ? moment(record.endedAt) : undefined,
    endedBy: ZERO.test(record.endedBy) ? undefined : record.endedBy,
    reason: record.reason || undefined,
    successor: ZERO.test(successor) ? undefined : successor,
    doesWitnessAgree,
  };
}

/** Whether the second node has the same block, and says the same of the record in it. */
async function agrees(witness: string, address: Hex, hash: Hex, block: { number: bigint; hash: Hex }, record: object): Promise<boolean> {
  const chain = createPublicClient({ transport: http(witness) });
  const [other, same] = await Promise.all([
    chain.getBlock({ blockNumber: block.number }),
    chain.readContract({ address, abi: registryAbi, functionName: 'anchorOf', args: [hash], blockNumber: block.number }),
  ]);
  return other.hash === block.hash && text(same) === text(record);
}

const text = (of: object): string => JSON.stringify(of, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
const moment = (seconds: number): string => new Date(seconds * 1000).toISOString();
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
