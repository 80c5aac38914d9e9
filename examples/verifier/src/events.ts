// The contract's chain of events, as docs/contracts.md describes it: what a log says, and the head that it leads to.
import { concat, encodeAbiParameters, getAddress, keccak256, size, slice, toHex, type Address, type Hex } from 'viem';

/** A log of the contract as a node gives it. */
export interface Log {
  topics: readonly Hex[];
  data: Hex;
  transactionHash: Hex;
  blockNumber: bigint;
  blockHash: Hex;
  logIndex: number;
}

/** What a numbered log says. */
export interface ChainEvent {
  kind: string;
  subjectHash: string | null;
  actor: Address;
  sequence: number;
  head: Hex;
  /** The hash of everything but sequence and head. */
  body: Hex;
}

/** Where an event says what: the number of a topic, or null where it says none. */
interface Shape {
  kind: string;
  subject: number | null;
  /** The account that caused it stands in the first word of the data where this is null. */
  actor: number | null;
}

/** By the first topic of the log. Events that are not listed are not part of the chain of events. */
const SHAPES: Record<Hex, Shape> = Object.fromEntries(
  (
    [
      ['RecordAnchored(bytes32,bytes32,address,uint40,bytes25)', 'RECORD_ANCHORED', 1, 3],
      ['RecordClosed(bytes32,uint8,address,uint8,uint40,bytes25)', 'RECORD_CLOSED', 1, 3],
      ['EndingAnnulled(bytes32,bytes32,address,uint40,bytes25)', 'ENDING_ANNULLED', 1, 3],
      ['EndingLimitSet(address,address,uint16,uint40,bytes25)', 'ENDING_LIMIT_SET', null, 2],
      ['BatchAnchored(bytes32,address,uint48,uint40,bytes25)', 'BATCH_ANCHORED', 1, 2],
      ['RecordExtracted(bytes32,bytes32,address,uint48,uint48,uint40,bytes25)', 'RECORD_EXTRACTED', 1, 3],
      ['CheckpointAnchored(uint64,bytes32,address,uint64,uint64,uint40,bytes25)', 'CHECKPOINT_ANCHORED', 2, 3],
      ['EpochOpened(uint64,uint64,bytes32,address,uint40,bytes25)', 'EPOCH_OPENED', 3, null],
      ['PausedSet(bool,address,uint40,bytes25)', 'PAUSED_SET', null, 1],
      ['RoleChanged(bytes32,address,address,bool,uint40,bytes25)', 'ROLE_CHANGED', null, 3],
      ['AdminStepTaken(uint8,address,address,uint48,uint48,uint40,bytes25)', 'ADMIN_STEP_TAKEN', null, 3],
    ] as const
  ).map(([signature, kind, subject, actor]) => [keccak256(toHex(signature)), { kind, subject, actor }]),
);

const ZERO = '0'.repeat(64);

/** What a log says; null for one that is not part of the chain of events. */
export function read(log: Log): ChainEvent | null {
  const shape = SHAPES[log.topics[0] ?? '0x'];
  const length = size(log.data);
  if (!shape || length < 64) return null;
  const word = shape.actor === null ? slice(log.data, 0, 32) : log.topics[shape.actor];
  const subject = shape.subject === null ? undefined : log.topics[shape.subject]?.slice(2);
  if (!word) return null;
  return {
    kind: shape.kind,
    subjectHash: subject === undefined || subject === ZERO ? null : subject,
    actor: getAddress(slice(word, 12)),
    sequence: Number(BigInt(slice(log.data, length - 64, length - 32))),
    head: slice(log.data, length - 32, length - 7),
    body: keccak256(concat([...log.topics, length > 64 ? slice(log.data, 0, length - 64) : '0x'])),
  };
}

/** The head of a contract that has said nothing yet. */
export function firstHead(chainId: number, registry: Address, version: bigint): Hex {
  const seed = [{ type: 'uint256' }, { type: 'address' }, { type: 'uint256' }] as const;
  return slice(keccak256(encodeAbiParameters(seed, [BigInt(chainId), registry, version])), 0, 25);
}

/** The head after an event. */
export function nextHead(chainId: number, previous: Hex, body: Hex): Hex {
  return slice(keccak256(concat([previous, toHex(chainId, { size: 7 }), body])), 0, 25);
}
