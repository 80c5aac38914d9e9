// The words: both languages have the same ones, and no more than the portal says.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, portal } from './load.mjs';

const { indonesian } = await load('src/words/indonesian.ts');
const english = Object.keys(indonesian);
const names = (await readdir(join(portal, 'src'), { recursive: true })).filter((name) => /\.tsx?$/.test(name) && !name.startsWith('gql') && !name.endsWith('indonesian.ts'));
const sources = await Promise.all(names.map((name) => readFile(join(portal, 'src', name), 'utf8')));
/** Every text in quotation marks. A comment may have one, too: what matters is that nothing that is said is missed. */
const quoted = new Set(sources.flatMap((source) => [...source.matchAll(/'((?:[^'\\\n]|\\.)*)'/g)].map(([, text]) => text.replaceAll("\\'", "'"))));

test('what is said has a text in both languages', () => {
  const said = sources.flatMap((source) => [...source.matchAll(/\bt\(\s*'((?:[^'\\\n]|\\.)*)'/g)].map(([, text]) => text.replaceAll("\\'", "'")));
  assert.ok(said.length > 400, `${said.length} texts`);
  const known = new Set(english);
  assert.deepEqual(said.filter((text) => !known.has(text)), []);
});

test('no text is kept that nobody says', () => {
  assert.deepEqual(english.filter((text) => !quoted.has(text)), []);
});

test('both texts leave the same places open, and none is empty', () => {
  const places = (text) => [...new Set(text.match(/{\d}/g) ?? [])].sort().join();
  assert.deepEqual(english.filter((text) => places(text) !== places(indonesian[text])), []);
  assert.deepEqual(english.filter((text) => indonesian[text].trim() === ''), []);
});

test('a text that is the same in both languages is one word, or a name', () => {
  const same = english.filter((text) => text === indonesian[text]);
  assert.deepEqual(same.filter((text) => text.split(' ').length > 2), []);
  assert.ok(same.length < 40, `${same.length}: ${same}`);
});
