// The built assets: how much the first load is, and what must not be among it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { portal } from './load.mjs';

/** Unit: bytes, by gzip. */
const MOST = 250_000;

const chunks = JSON.parse(await readFile(join(portal, 'src/gql/vite-manifest.json'), 'utf8'));
const compressed = async (file) => gzipSync(await readFile(join(portal, 'dist', file)), { level: 9 }).length;

/** The files that a chunk needs before it runs. */
function needs(key, found = new Set()) {
  const chunk = chunks[key];
  if (!chunk || found.has(chunk.file)) return found;
  found.add(chunk.file);
  (chunk.css ?? []).forEach((file) => found.add(file));
  (chunk.imports ?? []).forEach((each) => needs(each, found));
  return found;
}

async function sizeOf(files) {
  let sum = 0;
  for (const file of files) sum += await compressed(file);
  return sum;
}

test('the log-in and any first page are at most 250 kB', async () => {
  const pages = Object.keys(chunks).filter((key) => /^src\/(pages|records)\/.*\.tsx$/.test(key));
  assert.ok(pages.length >= 10, `${pages.length} pages`);
  for (const page of pages) {
    const files = new Set(['index.html', ...needs('index.html'), ...needs(page), ...needs('src/words/indonesian.ts'), ...needs('src/records/chart.tsx')]);
    const size = await sizeOf(files);
    assert.ok(size <= MOST, `${page}: ${size} bytes`);
  }
});

test('what only verifying needs is not in the portal', async () => {
  const files = new Set(needs('index.html'));
  for (const file of needs('src/verify/verify.ts')) {
    if (!files.has(file)) continue;
    assert.doesNotMatch(await readFile(join(portal, 'dist', file), 'utf8'), /eth_call|eth_getProof/, file);
  }
});

test('the service worker keeps files that are there, and no address of the api', async () => {
  const worker = await readFile(join(portal, 'dist/sw.js'), 'utf8');
  const [, list] = worker.match(/const FILES = (\[.*?\])\.map/);
  for (const file of JSON.parse(list)) await readFile(join(portal, 'dist', file === './' ? 'index.html' : file));
  assert.doesNotMatch(list, /\/(graphql|export|my-data)\b(?!-)|verify/);
});

test('each document that is asked with is there for the api to trust, by its hash', async () => {
  const trusted = JSON.parse(await readFile(join(portal, 'dist/persisted-documents.json'), 'utf8'));
  for (const [hash, text] of Object.entries(trusted)) assert.equal(createHash('sha256').update(text).digest('hex'), hash);
  const texts = Object.values(trusted).join('\n');
  const sources = (await readdir(join(portal, 'src'), { recursive: true })).filter((name) => /\.tsx?$/.test(name) && !/^gql\b/.test(name));
  const asked = (await Promise.all(sources.map((name) => readFile(join(portal, 'src', name), 'utf8')))).join('\n');
  const documents = [...asked.matchAll(/graphql\(`([^`]*)`\)/g)].map(([, each]) => each).join('\n');
  const names = [...documents.matchAll(/^\s*(?:query|mutation|subscription) (\w+)/gm)].map(([, name]) => name);
  assert.ok(names.length > 80, `${names.length} operations`);
  assert.deepEqual(names.filter((name) => !new RegExp(`^(query|mutation|subscription) ${name}\\b`, 'm').test(texts)), []);
});

test('no page has a script in it', async () => {
  for (const page of ['index.html', 'verify.html']) {
    const text = await readFile(join(portal, 'dist', page), 'utf8');
    assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)/, page);
    assert.doesNotMatch(text, /(src|href)="(\/|https?:)/, `${page}: its addresses are relative`);
  }
});
