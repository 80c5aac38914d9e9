// Where the program stands, in a file that is whole at any moment: written aside, and put in the place of the one before.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Address, Hex } from 'viem';
import type { Entry } from './api.js';
import { Impossible } from './options.js';

/** An event that was found to be right, and lies below what can be undone. */
export interface Base {
  sequence: number;
  head: Hex;
  blockNumber: number;
}

export interface State {
  chainId: number;
  registry: Address;
  /** Where the stream goes on. */
  cursor: string;
  base: Base;
  /** What was told after that, and is not undone, in the order of the sequence. */
  live: Entry[];
}

/** What was written last, of this contract; null for none. */
export function load(file: string, chainId: number, registry: Address): State | null {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Impossible(`${file} cannot be read: ${(error as Error).message}`);
  }
  const state = parse(text);
  if (!state || state.chainId !== chainId || state.registry !== registry) {
    throw new Impossible(`${file} is not of this contract on this chain, or is none of ours: name another --state`);
  }
  return state;
}

function parse(text: string): State | null {
  try {
    const state = JSON.parse(text) as State;
    return typeof state.cursor === 'string' && Array.isArray(state.live) ? state : null;
  } catch {
    return null;
  }
}

export function save(file: string, state: State): void {
  const aside = `${file}.new`;
  const open = openSync(aside, 'w', 0o600);
  try {
    writeSync(open, `${JSON.stringify(state)}\n`);
    fsyncSync(open);
  } finally {
    closeSync(open);
  }
  renameSync(aside, file);
}
