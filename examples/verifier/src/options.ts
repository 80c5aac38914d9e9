// The command line.
import { parseArgs } from 'node:util';
import { getAddress, isAddress, type Address } from 'viem';

export interface Options {
  api: string;
  node: string;
  registry: Address;
  state: string;
  evidence: string | undefined;
  /** How long the api and the node may differ before one of them is accused. Unit: milliseconds. */
  patience: number;
  /** How often the contract's own head is looked at. Unit: milliseconds. */
  poll: number;
  once: boolean;
}

export const USAGE = `node dist/main.js --api <url> --node <url> --registry <address> [options]

  --api <url>            the service, without /graphql
  --node <url>           a node of one's own: JSON-RPC over HTTP
  --registry <address>   the contract that records are anchored in, from whom you trust for it
  --state <file>         where it stands, to go on from there (verifier-state.json)
  --evidence <file>      where the evidence is written, besides the standard output
  --patience <seconds>   how long the service and the node may differ before one of them is accused (30)
  --poll <seconds>       how often the contract's own head is looked at (2)
  --once                 end with 0 as soon as all that the contract says was told and is right

  exit status: 0 nothing is wrong, 1 somebody lied (the evidence is one line of JSON), 2 it cannot be checked`;

/** What cannot be done whatever anybody says: another chain, no contract, a bad command line. */
export class Impossible extends Error {}

function address(url: string | undefined, name: string): string {
  if (!url || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new Impossible(`--${name} has to be an address that begins with http:// or https://`);
  }
  return url.replace(/\/+$/, '');
}

function seconds(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Impossible(`--${name} has to be a number of seconds`);
  return value * 1000;
}

export function readOptions(args: string[]): Options {
  const text = { type: 'string' } as const;
  const read = () => {
    try {
      return parseArgs({
        args,
        options: {
          api: text, node: text, registry: text, evidence: text,
          state: { type: 'string', default: 'verifier-state.json' },
          patience: { type: 'string', default: '30' },
          poll: { type: 'string', default: '2' },
          once: { type: 'boolean', default: false },
        },
      }).values;
    } catch (error) {
      throw new Impossible(error instanceof Error ? error.message : String(error));
    }
  };
  const given = read();
  if (!given.registry || !isAddress(given.registry, { strict: false })) {
    throw new Impossible('--registry has to be the address of the contract');
  }
  const [patience, poll] = [seconds(given.patience, 'patience'), seconds(given.poll, 'poll')];
  if (patience < 2 * poll) throw new Impossible('--patience has to be twice --poll or more');
  return {
    api: address(given.api, 'api'),
    node: address(given.node, 'node'),
    registry: getAddress(given.registry),
    state: given.state,
    evidence: given.evidence,
    patience,
    poll,
    once: given.once,
  };
}
