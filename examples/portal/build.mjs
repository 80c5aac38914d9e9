// Builds the portal: `node build.mjs` makes dist/, for the api to serve in development, or any static host.
//
//   dist/index.html, verify.html   the pages, never cached for long
//   dist/assets/*                  named by their content, so cached for ever
//   dist/sw.js                     the service worker: it keeps these files, and nothing that was read
//   dist/**.br, **.gz              the same, compressed once and well
//   dist/manifest.json             every file with its content type, size and encodings
//   dist/persisted-documents.json  the documents that it asks with, for the api to trust; not served
//
// PORTAL_API is the address of the api, where it is not where the pages come from.
// Nothing happens if no source has changed since the last time. The build is made aside and moved into place
// last, so that a build that fails leaves what was there.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants as zlib, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');
const draft = join(here, 'dist.new');
const api = process.env.PORTAL_API ?? '';
const started = performance.now();

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
};
const OUTSIDE = ['../../schema.graphql', '../../contracts/abi/MedicalRecordRegistry.json'];
const IGNORED = /^(node_modules|dist|dist\.new|test|src\/gql)(\/|$)/;

async function main() {
  const stamp = await sourceStamp();
  if ((await readFile(join(dist, 'stamp'), 'utf8').catch(() => '')) === stamp) {
    console.log('portal: up to date');
    return;
  }
  run('graphql-codegen', '--config', 'codegen.ts');
  node('abi.mjs');
  run('tsc', '--noEmit');
  await rm(draft, { recursive: true, force: true });
  run('vite', 'build', '--outDir', 'dist.new', '--emptyOutDir', '--logLevel', 'warn');
  await finish();
  const manifest = await compress();
  await writeFile(join(draft, 'manifest.json'), `${JSON.stringify({ files: manifest }, null, 2)}\n`);
  node('documents.mjs', join(draft, 'persisted-documents.json'));
  await writeFile(join(draft, 'stamp'), stamp);
  await rm(dist, { recursive: true, force: true });
  await rename(draft, dist);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const transferred = manifest.reduce((sum, file) => sum + (file.encodings.br ?? file.bytes), 0);
  console.log(`portal: built in ${seconds} s: ${manifest.length} files, ${Math.round(transferred / 1000)} kB compressed`);
}

/** The address of the api, the licences and the service worker. */
async function finish() {
  const index = await readFile(join(draft, 'index.html'), 'utf8');
  await writeFile(join(draft, 'index.html'), index.replace('name="meditrustal-api" content=""', `name="meditrustal-api" content="${escape(api)}"`));
  await mkdir(join(draft, 'assets'), { recursive: true });
  await writeFile(join(draft, 'assets', 'licences.txt'), await licences());
  // What the page is made of, and not what only verifying needs: that page has to reach a node, anyway.
  const chunks = JSON.parse(await readFile(join(draft, 'vite-manifest.json'), 'utf8'));
  const kept = new Set(['./', './icon.svg', './portal.webmanifest']);
  const visit = (key) => {
    const chunk = chunks[key];
    if (!chunk || kept.has(`./${chunk.file}`)) return;
    kept.add(`./${chunk.file}`);
    (chunk.css ?? []).forEach((file) => kept.add(`./${file}`));
    [...(chunk.imports ?? []), ...(chunk.dynamicImports ?? [])].forEach(visit);
  };
  visit('index.html');
  const files = [...kept].sort();
  const version = createHash('sha256').update(JSON.stringify(files)).update(await readFile(join(draft, 'index.html'))).digest('hex').slice(0, 16);
  const worker = await readFile(join(here, 'sw.js'), 'utf8');
  await writeFile(join(draft, 'sw.js'), worker.replace('__VERSION__', version).replace('__FILES__', JSON.stringify(files)));
  await rename(join(draft, 'vite-manifest.json'), join(here, 'src/gql/vite-manifest.json'));
}

async function compress() {
  const names = (await readdir(draft, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(draft, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
  const written = [];
  for (const path of names) {
    const content = await readFile(join(draft, path));
    const br = brotliCompressSync(content, { params: { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_SIZE_HINT]: content.length } });
    const gz = gzipSync(content, { level: 9 });
    await writeFile(join(draft, `${path}.br`), br);
    await writeFile(join(draft, `${path}.gz`), gz);
    written.push({
      path,
      type: TYPES[extname(path)] ?? 'application/octet-stream',
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
      immutable: path.startsWith('assets/') && !path.endsWith('.txt'),
      encodings: { br: br.length, gz: gz.length },
    });
  }
  return written;
}

/** The licence of every package that can be in the bundle, as most of them ask for. */
async function licences() {
  const lock = JSON.parse(await readFile(join(here, 'package-lock.json'), 'utf8'));
  const texts = [];
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (!path || entry.dev || entry.devOptional || !existsSync(join(here, path))) continue;
    const { name, version, license } = JSON.parse(await readFile(join(here, path, 'package.json'), 'utf8'));
    const file = (await readdir(join(here, path))).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? await readFile(join(here, path, file), 'utf8') : '';
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`);
}

async function sourceStamp() {
  const sources = (await readdir(here, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(here, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((name) => !IGNORED.test(name))
    .sort();
  const hash = createHash('sha256').update(api);
  for (const name of [...sources, ...OUTSIDE]) {
    const content = await readFile(join(here, name));
    hash.update(`${name}\0${content.length}\0`).update(content);
  }
  return `${hash.digest('hex')}\n`;
}

function run(program, ...args) {
  execute(join(here, 'node_modules/.bin', program), args);
}

function node(script, ...args) {
  execute(process.execPath, [join(here, script), ...args]);
}

/** Says what a step printed only where it fails. */
function execute(program, args) {
  try {
    execFileSync(program, args, { cwd: here, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    console.error(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    throw new Error(`${program} failed`);
  }
}

function escape(text) {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

await main();
