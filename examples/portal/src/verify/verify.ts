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

/** So far may one node be behind the other one: both are asked about the block that both have. Unit: blocks. */
const BEHIND = 64n;

export interface Outcome {
  readonly verdict: Verdict;
  readonly hash: Hex;
  readonly chainId: number;
  readonly codeHash: Hex;
  readonly isKnownCode: boolean;
  readonly block: string;
  readonly blockHash: Hex;
  /** Of that block: whatever was written after it is not known. */
  readonly blockTime: string;
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
  const chain = client(asked.node);
  const witness = asked.witness === undefined ? undefined : client(asked.witness);
  // Everything is read at one block, so that the second node can be asked for the same.
  const [chainId, newest, other = newest] = await Promise.all([chain.getChainId(), chain.getBlockNumber(), witness?.getBlockNumber()]);
  if (newest - other > BEHIND || other - newest > BEHIND) throw new Error(`the second node is at block ${other}, the first one at block ${newest}`);
  const block = await chain.getBlock({ blockNumber: newest < other ? newest : other });
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
  const doesWitnessAgree = witness && (await agrees(witness, address, hash, { chainId, blockHash: block.hash, code, record, successor }, block.number));
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
    blockTime: moment(Number(block.timestamp)),
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

type Node = ReturnType<typeof client>;

/** A node that is asked, and that no answer can have ask anybody else (EIP-3668). */
function client(address: string) {
  return createPublicClient({ transport: http(address), ccipRead: false });
}

/** Whether the second node is of the same chain, and says the same of that block, of the contract in it and of the record. */
async function agrees(witness: Node, address: Hex, hash: Hex, first: object, blockNumber: bigint): Promise<boolean> {
  const contract = { address, abi: registryAbi, blockNumber } as const;
  const [chainId, block, code, record, successor] = await Promise.all([
    witness.getChainId(),
    witness.getBlock({ blockNumber }),
    witness.getCode({ address, blockNumber }),
    witness.readContract({ ...contract, functionName: 'anchorOf', args: [hash] }),
    witness.readContract({ ...contract, functionName: 'successorOf', args: [hash] }),
  ]);
  return text({ chainId, blockHash: block.hash, code, record, successor }) === text(first);
}

const text = (of: object): string => JSON.stringify(of, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
const moment = (seconds: number): string => new Date(seconds * 1000).toISOString();
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
