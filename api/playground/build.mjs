// Builds the playground: `node api/playground/build.mjs` makes api/playground/dist.
//
//   dist/index.html       the page, never cached for long
//   dist/assets/*         named by their content, so cached for ever
//   dist/**.br, **.gz     the same, compressed once and well
//   dist/manifest.json    every file with its content type, size and encodings
//
// Nothing happens if neither a source nor package-lock.json has changed since the last time.
// Files are written before what refers to them, so a running API may serve dist meanwhile.
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants as zlib, gzip } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const repository = join(here, '..', '..');
const dist = join(here, 'dist');
const ASSETS = '/playground/assets';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
};

// The highest level takes thirteen times as long for large files and saves 9 % of them.
const BROTLI_QUALITY = 9;
const BROTLI_QUALITY_SMALL = 11;
const SMALL_BYTES = 256 * 1024;

const started = performance.now();

async function main() {
  const stamp = await sourceStamp();
  if ((await readFile(join(dist, 'stamp'), 'utf8').catch(() => '')) === stamp) {
    console.log('playground: up to date');
    return;
  }
  const files = await bundle();
  const manifest = await write(files);
  await replace(join(dist, 'manifest.json'), `${JSON.stringify({ files: manifest }, null, 2)}\n`);
  await removeStale(manifest);
  await replace(join(dist, 'stamp'), stamp);

  const transferred = manifest.reduce((sum, file) => sum + (file.encodings.br ?? file.bytes), 0);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`playground: built in ${seconds} s: ${manifest.length} files, ${(transferred / 1e6).toFixed(1)} MB compressed`);
}

async function sourceStamp() {
  const sources = (await readdir(here, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(here, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((name) => !name.startsWith('dist'))
    .sort();
  const hash = createHash('sha256');
  for (const name of [...sources, relative(here, join(repository, 'package-lock.json'))]) {
    const content = await readFile(join(here, name));
    hash.update(`${name}\0${content.length}\0`).update(content);
  }
  return `${hash.digest('hex')}\n`;
}

/** All files to serve, as a map from path to content, what refers to others last. */
async function bundle() {
  const esbuild = await import('esbuild');
  const common = {
    absWorkingDir: repository,
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    target: ['es2022'],
    outdir: join(dist, 'assets'),
    entryNames: '[name]-[hash]',
    chunkNames: 'chunk-[hash]',
    assetNames: '[name]-[hash]',
    legalComments: 'none', // the licences' own file has them all
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'warning',
  };
  const workers = await esbuild.build({
    ...common,
    format: 'iife',
    entryPoints: {
      'editor.worker': 'monaco-editor/esm/vs/editor/editor.worker.js',
      'graphql.worker': 'monaco-graphql/esm/graphql.worker.js',
      'json.worker': 'monaco-editor/esm/vs/language/json/json.worker.js',
    },
  });
  const workerFiles = Object.fromEntries(
    workers.outputFiles.map(({ path }) => [basename(path).split('.')[0], `./${basename(path)}`]),
  );
  const page = await esbuild.build({
    ...common,
    format: 'esm',
    splitting: true,
    jsx: 'automatic',
    entryPoints: {
      playground: join(here, 'main.jsx'),
      style: join(here, 'style.css'),
    },
    define: { ...common.define, __WORKERS__: JSON.stringify(workerFiles) },
    loader: { '.graphql': 'text', '.json': 'text', '.svg': 'file' },
    publicPath: ASSETS,
    plugins: [monacoStylesOnce, fontsAsFiles, graphqlOnce],
  });

  const outputs = [...workers.outputFiles, ...page.outputFiles];
  const files = new Map(outputs.map(({ path, contents }) => [`assets/${basename(path)}`, contents]));
  const legal = await licences({ ...workers.metafile.inputs, ...page.metafile.inputs });
  const licence = `assets/licences-${sha256(legal).slice(0, 8)}.txt`;
  files.set(licence, legal);
  files.set('index.html', await indexHtml(page.metafile.outputs, licence));
  return files;
}

// graphiql/style.css holds Monaco's styles already; the imports beside its modules would
// only make a second copy that no one loads.
const monacoStylesOnce = {
  name: 'monaco-styles-once',
  setup(build) {
    build.onLoad({ filter: /[\\/]monaco-editor[\\/].*\.css$/ }, () => ({ loader: 'empty', contents: '' }));
  },
};

// graphiql/style.css carries 35 fonts as data: URLs, half a megabyte that every visitor would
// load first. As files, a browser loads the three or four it needs.
const fontsAsFiles = {
  name: 'fonts-as-files',
  setup(build) {
    const fonts = new Map();
    build.onLoad({ filter: /[\\/]graphiql[\\/]dist[\\/]style\.css$/ }, async ({ path }) => {
      const css = await readFile(path, 'utf8');
      const contents = css.replace(/url\(["']?data:font\/(\w+);base64,([^)"']+)["']?\)/g, (_, type, data) => {
        const name = `font:${fonts.size}.${type}`;
        fonts.set(name, Buffer.from(data, 'base64'));
        return `url("${name}")`;
      });
      return { contents, loader: 'css' };
    });
    build.onResolve({ filter: /^font:/ }, ({ path }) => ({ path, namespace: 'font' }));
    build.onLoad({ filter: /./, namespace: 'font' }, ({ path }) => ({ contents: fonts.get(path), loader: 'file' }));
  },
};

// The explorer is CommonJS: its `graphql` would be a second copy, which knows no type of the first one's schema.
const graphqlOnce = {
  name: 'graphql-once',
  setup(build) {
    const resolving = Symbol('resolving');
    build.onResolve({ filter: /^graphql$/ }, async ({ resolveDir, pluginData }) => {
      if (pluginData === resolving) return undefined;
      const { path, errors } = await build.resolve('graphql', { kind: 'import-statement', resolveDir, pluginData: resolving });
      return errors.length ? { errors } : { path };
    });
  },
};

async function indexHtml(outputs, licence) {
  const named = (pattern) => {
    const found = Object.keys(outputs).find((path) => pattern.test(basename(path)));
    if (!found) throw new Error(`the bundle has no ${pattern}`);
    return found;
  };
  const url = (path) => `${ASSETS}/${basename(path)}`;
  const script = named(/^playground-.*\.js$/);
  const values = {
    licence: url(licence),
    icon: url(named(/^icon-.*\.svg$/)),
    style: url(named(/^style-.*\.css$/)),
    script: url(script),
    preload: needed(outputs, script).map((path) => `<link rel="modulepreload" href="${url(path)}">`).join('\n    '),
  };
  const template = await readFile(join(here, 'index.html'), 'utf8');
  return Buffer.from(template.replace(/{{(\w+)}}/g, (_, key) => values[key]));
}

/** The chunks that the page needs before one can type: static imports, and Monaco with its GraphQL mode. */
function needed(outputs, script) {
  const editor = Object.keys(outputs).filter((path) =>
    /monaco-graphql\/esm\/(monaco-editor|lite)\.js$/.test(outputs[path].entryPoint ?? ''),
  );
  const seen = new Set();
  const visit = (path) => {
    if (seen.has(path)) return;
    seen.add(path);
    outputs[path].imports.filter(({ kind }) => kind === 'import-statement').forEach((found) => visit(found.path));
  };
  [script, ...editor].forEach(visit);
  seen.delete(script);
  return [...seen];
}

/** The licence of every npm package in the bundle, as most of them ask for. */
async function licences(inputs) {
  const packages = new Set(
    Object.keys(inputs).flatMap((path) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[0] ?? []),
  );
  const texts = await Promise.all(
    [...packages].sort().map(async (path) => {
      const { name, version, license } = JSON.parse(await readFile(join(repository, path, 'package.json'), 'utf8'));
      const file = (await readdir(join(repository, path))).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file ? await readFile(join(repository, path, file), 'utf8') : '';
      return `${name} ${version} (${license})\n\n${text.trim()}\n`;
    }),
  );
  return Buffer.from(texts.join(`\n${'-'.repeat(80)}\n\n`));
}

async function write(files) {
  await mkdir(join(dist, 'assets'), { recursive: true });
  const written = [];
  const compressed = await Promise.all([...files].map(async ([path, content]) => [path, content, await encodings(path, content)]));
  for (const [path, content, encoded] of compressed) {
    await replace(join(dist, path), content);
    for (const [suffix, bytes] of Object.entries(encoded)) await replace(join(dist, `${path}.${suffix}`), bytes);
    written.push({
      path,
      type: TYPES[extname(path)] ?? 'application/octet-stream',
      bytes: content.length,
      sha256: sha256(content),
      immutable: path.startsWith('assets/'),
      encodings: Object.fromEntries(Object.entries(encoded).map(([suffix, bytes]) => [suffix, bytes.length])),
    });
  }
  return written;
}

/** The content as .br and .gz, unless it is compressed already, as fonts are. */
async function encodings(path, content) {
  if (/\.woff2?$/.test(path)) return {};
  const quality = content.length > SMALL_BYTES ? BROTLI_QUALITY : BROTLI_QUALITY_SMALL;
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(content, {
      params: { [zlib.BROTLI_PARAM_QUALITY]: quality, [zlib.BROTLI_PARAM_LGWIN]: 22, [zlib.BROTLI_PARAM_SIZE_HINT]: content.length },
    }),
    promisify(gzip)(content, { level: 9 }),
  ]);
  return { br, gz };
}

const sha256 = (content) => createHash('sha256').update(content).digest('hex');

async function replace(path, content) {
  const draft = `${path}.${process.pid}.new`;
  await writeFile(draft, content);
  await rename(draft, path);
}

async function removeStale(manifest) {
  const kept = new Set(['manifest.json', 'stamp']);
  for (const { path, encodings } of manifest) {
    [path, ...Object.keys(encodings).map((suffix) => `${path}.${suffix}`)].forEach((name) => kept.add(name));
  }
  const present = await readdir(dist, { recursive: true, withFileTypes: true });
  const stale = present
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.new')) // .new: another build, just now
    .map((entry) => relative(dist, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((name) => !kept.has(name));
  await Promise.all(stale.map((name) => rm(join(dist, name), { force: true })));
}

try {
  await main();
} catch (error) {
  const hint = error.code === 'ERR_MODULE_NOT_FOUND' ? ' Run `npm ci --ignore-scripts` first.' : '';
  console.error(`playground: could not build: ${error.message}${hint}`);
  process.exit(1);
}
