// Verifying a file, with nodes that lie, are behind, or send the page elsewhere.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { encodeAbiParameters, encodeErrorResult, encodeFunctionResult, keccak256, parseAbi, toFunctionSelector } from 'viem';
import { load } from './load.mjs';

const { verify } = await load('src/verify/verify.ts');
const { registryAbi } = await load('src/gql/registry-abi.ts');
const REGISTRY = `0x${'5f'.repeat(20)}`;
const [CODE, OTHER] = ['0x6001', '0x6002'];
const file = new TextEncoder().encode('{"resourceType":"Bundle"}');
const HASH = `0x${createHash('sha256').update(file).digest('hex')}`;
const ZERO = `0x${'0'.repeat(64)}`;
const ABI = Object.fromEntries(registryAbi.map((each) => [each.name, each]));
const servers = [];
after(() => servers.forEach((server) => server.close()));

/** What `anchorOf` answers, with this status. */
function recordOf(status) {
  const of = { address: `0x${'11'.repeat(20)}`, bytes32: ZERO };
  const value = ({ name, type }) => (name === 'status' ? status : type === 'bool' ? false : (of[type] ?? (/^uint(\d+)$/.test(type) && Number(type.slice(4)) > 48 ? 9n : 9)));
  return Object.fromEntries(ABI.anchorOf.outputs[0].components.map((part) => [part.name, value(part)]));
}

/** A node of JSON-RPC, and its address. `says` stands in the place of what an honest one says. */
async function node(says = {}) {
  const is = { chainId: '0x7a69', newest: 100, code: CODE, status: 1, successor: ZERO, blockHash: (number) => `0x${number.toString(16).padStart(64, '0')}`, ...says };
  const answer = ({ method, params }) => {
    switch (method) {
      case 'eth_chainId':
        return is.chainId;
      case 'eth_blockNumber':
        return `0x${is.newest.toString(16)}`;
      case 'eth_getBlockByNumber':
        return { number: params[0], hash: is.blockHash(Number(params[0])), timestamp: '0x69a00000', transactions: [] };
      case 'eth_getCode':
        return is.code;
      default:
        if (is.revert) throw is.revert;
        return params[0].data.startsWith(toFunctionSelector(ABI.successorOf))
          ? encodeFunctionResult({ abi: [ABI.successorOf], result: is.successor })
          : encodeFunctionResult({ abi: [ABI.anchorOf], result: recordOf(is.status) });
    }
  };
  return serve((text) => {
    const one = (asked) => {
      try {
        return { jsonrpc: '2.0', id: asked.id, result: answer(asked) };
      } catch (data) {
        return { jsonrpc: '2.0', id: asked.id, error: { code: 3, message: 'execution reverted', data } };
      }
    };
    const asked = JSON.parse(text);
    return Array.isArray(asked) ? asked.map(one) : one(asked);
  });
}

async function serve(answer) {
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const part of request) text += part;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer(text)));
  });
  servers.push(server);
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${server.address().port}`;
}

const ask = (first, witness) => verify(file, { node: first, witness, registry: REGISTRY });

test('two nodes that say the same agree', async () => {
  const found = await ask(await node(), await node());
  assert.equal(found.verdict, 'ACTIVE');
  assert.equal(found.hash, HASH);
  assert.equal(found.codeHash, keccak256(CODE));
  assert.equal(found.isKnownCode, false);
  assert.equal(found.doesWitnessAgree, true);
  assert.equal((await ask(await node(), undefined)).doesWitnessAgree, undefined);
});

test('a second node contradicts whatever the first one says', async () => {
  const first = await node();
  for (const says of [{ status: 3 }, { status: 0 }, { code: OTHER }, { successor: `0x${'22'.repeat(32)}` }, { chainId: '0x1' }, { blockHash: () => `0x${'33'.repeat(32)}` }]) {
    assert.equal((await ask(first, await node(says))).doesWitnessAgree, false, JSON.stringify(says));
  }
});

test('both are asked about a block that both have, and none that is old', async () => {
  const [ahead, behind, old] = [await node({ newest: 103 }), await node(), await node({ newest: 3 })];
  for (const [first, witness] of [[ahead, behind], [behind, ahead]]) {
    const found = await ask(first, witness);
    assert.deepEqual([found.block, found.doesWitnessAgree], ['100', true]);
  }
  await assert.rejects(ask(ahead, old), /second node is at block 3/);
  await assert.rejects(ask(old, ahead), /the first one at block 3/);
  const alone = await ask(old, undefined);
  assert.deepEqual([alone.block, alone.blockTime], ['3', '2026-02-26T08:10:40.000Z']);
});

test('no answer has the page ask anybody else', async () => {
  let isAsked = false;
  const elsewhere = await serve(() => {
    isAsked = true;
    return { data: encodeAbiParameters([{ type: 'uint256' }], [1n]) };
  });
  const abi = parseAbi(['error OffchainLookup(address sender, string[] urls, bytes callData, bytes4 callbackFunction, bytes extraData)']);
  const revert = encodeErrorResult({ abi, errorName: 'OffchainLookup', args: [REGISTRY, [`${elsewhere}/{sender}/{data}`], '0x01', '0x01020304', '0x'] });
  await assert.rejects(ask(await node({ revert }), undefined));
  assert.equal(isAsked, false);
});
