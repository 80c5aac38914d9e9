// What is asked: all that summaries of records say, within what the api answers; and of mutations, what is to be mended.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Kind, buildSchema, getNamedType, isAbstractType, parse } from 'graphql';
import { portal } from './load.mjs';

/** How many fields of a query the api answers (`QueryLimits`). */
const MOST = 1000;

const schema = buildSchema(await readFile(join(portal, '../../schema.graphql'), 'utf8'), { assumeValid: true });
const source = await readFile(join(portal, 'src/records/queries.ts'), 'utf8');
const { definitions } = parse([...source.matchAll(/graphql\(`([^`]*)`\)/g)].map(([, text]) => text).join('\n'));
const fragments = new Map(definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION).map((each) => [each.name.value, each]));

const SUMMARIES = ['CommonSummary', 'OrderedSummary', 'PastSummary'];

/** Counts the fields of a selection as it is sent, fragments spread, and notes what is asked of which type. */
function walk({ selections }, type, asked = new Map()) {
  // The client asks for `__typename` in every selection.
  let count = selections.some((each) => each.name?.value === '__typename') ? 0 : 1;
  const of = asked.get(type) ?? new Set();
  asked.set(type, of);
  for (const each of selections) {
    if (each.kind === Kind.FIELD) {
      count += 1;
      of.add(each.name.value);
      if (each.selectionSet) count += walk(each.selectionSet, getNamedType(type.getFields()[each.name.value].type), asked);
    } else {
      const part = each.kind === Kind.FRAGMENT_SPREAD ? fragments.get(each.name.value) : each;
      count += walk(part.selectionSet, schema.getType(part.typeCondition.name.value), asked);
    }
  }
  return count;
}

test('a summary is asked for whole', () => {
  const asked = new Map();
  for (const name of SUMMARIES) walk(fragments.get(name).selectionSet, schema.getType('RecordSummary'), asked);
  const common = asked.get(schema.getType('RecordSummary'));
  assert.ok(asked.size > 20, `${asked.size} types`);
  for (const kind of schema.getPossibleTypes(schema.getType('RecordSummary'))) assert.ok(asked.has(kind), kind.name);
  for (const [type, fields] of asked) {
    const has = (name) => fields.has(name) || (isAbstractType(type) ? false : type.getInterfaces().length > 0 && common.has(name));
    assert.deepEqual(Object.keys(type.getFields()).filter((name) => !has(name)), [], type.name);
  }
});

test('each part of a summary has a name', async () => {
  const names = new Set([...(await readFile(join(portal, 'src/records/summary.tsx'), 'utf8')).matchAll(/(\w+): '/g)].map(([, name]) => name));
  // They have ways of their own to be shown.
  const shown = new Set(['Coding', 'Concept', 'Measurement', 'Party', 'Quantity', 'ReferenceRange']);
  const asked = new Map();
  for (const name of SUMMARIES) walk(fragments.get(name).selectionSet, schema.getType('RecordSummary'), asked);
  for (const [type, fields] of asked) {
    if (shown.has(type.name)) continue;
    assert.deepEqual([...fields].filter((field) => !names.has(field) && !['__typename', 'unsupportedModifiers'].includes(field)), [], type.name);
  }
});

test('a record is asked for by the part that has the summary of its type', () => {
  const typesOf = (name) => fragments.get(name).selectionSet.selections.filter((each) => each.kind === Kind.INLINE_FRAGMENT).map((each) => each.typeCondition.name.value);
  const parts = new Map([...source.matchAll(/^  ([A-Z_]+): '(common|ordered|past)',$/gm)].map(([, type, part]) => [type, part]));
  const types = schema.getType('RecordType').getValues().map((value) => value.name);
  assert.deepEqual([...parts.keys()].sort(), types.toSorted());
  for (const [type, part] of parts) {
    const summary = `${type.toLowerCase().replaceAll(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase())}Summary`;
    const holders = SUMMARIES.filter((name) => typesOf(name).includes(summary));
    assert.deepEqual(holders.map((name) => name.toLowerCase()), [`${part}summary`], type);
  }
});

test('no query has more fields than the api answers', () => {
  for (const each of definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)) {
    const root = each.operation === 'query' ? schema.getQueryType() : schema.getMutationType();
    const count = walk(each.selectionSet, root);
    assert.ok(count <= MOST, `${each.name.value}: ${count} fields`);
  }
});

const names = (await readdir(join(portal, 'src'), { recursive: true })).filter((name) => /\.tsx?$/.test(name) && !/^gql\b/.test(name));
const texts = await Promise.all(names.map((name) => readFile(join(portal, 'src', name), 'utf8')));
const documents = texts.flatMap((text) => [...text.matchAll(/graphql\(`([^`]*)`\)/g)].map(([, each]) => each));

test('no refresh token is asked for, and each log-in asks for the cookie', () => {
  assert.doesNotMatch(documents.join('\n'), /\brefreshToken\b/);
  const all = texts.join('\n');
  const logIns = [...all.matchAll(/\blogIn\(\{ input: .*/g)].map(([line]) => line);
  assert.ok(logIns.length >= 3, `${logIns.length} log-ins`);
  for (const line of logIns) assert.match(line, /refreshBy: 'COOKIE' \} \}, WITH_COOKIE\)/);
});

test('each mutation asks for what is to be mended', () => {
  // Nobody fills in a form for these.
  const without = new Set(['LogOut', 'LogOutEverywhere', 'Refresh']);
  const operations = parse(documents.join('\n')).definitions.filter((each) => each.kind === Kind.OPERATION_DEFINITION);
  const mutations = operations.filter((each) => each.operation === 'mutation' && !without.has(each.name.value));
  assert.ok(mutations.length > 30, `${mutations.length} mutations`);
  for (const { name, selectionSet } of mutations) {
    for (const payload of selectionSet.selections) {
      const errors = payload.selectionSet.selections.find((each) => each.name?.value === 'userErrors');
      const asked = errors?.selectionSet.selections.map((each) => each.name.value) ?? [];
      assert.deepEqual(['code', 'field', 'message'].filter((field) => !asked.includes(field)), [], name.value);
    }
  }
});
