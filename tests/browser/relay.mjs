// Compiles the fragments of tests/browser/relay against the schema with Relay's compiler, asks the api what it has compiled, and
// says what it hears, one line each.
//
// --url <url>           of the api, without `/graphql`
// --token-file <file>   holds an access token
// --out <folder>        an empty folder to compile in
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import compiler from 'relay-compiler';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, 'token-file': { type: 'string' }, out: { type: 'string' } },
});
const authorization = `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}`;

/** What a frontend sets: the field of `Node` is not called `id`, which is the UUID. */
const config = {
  src: './src',
  schema: './schema.graphql',
  language: 'javascript',
  artifactDirectory: './src/generated',
  eagerEsModules: false,
  schemaConfig: { nodeInterfaceIdField: 'nodeId' },
};
mkdirSync(join(options.out, 'src', 'generated'), { recursive: true });
copyFileSync('schema.graphql', join(options.out, 'schema.graphql'));
copyFileSync('tests/browser/relay/fragments.js', join(options.out, 'src', 'fragments.js'));
writeFileSync(join(options.out, 'package.json'), '{ "private": true }');
writeFileSync(join(options.out, 'relay.config.json'), JSON.stringify(config));
const compiled = spawnSync(compiler, ['relay.config.json'], { cwd: options.out, encoding: 'utf8' });
if (compiled.status !== 0) throw new Error(`${compiled.error ?? ''}${compiled.stdout}${compiled.stderr}`);

const require = createRequire(join(options.out, 'src', 'generated', 'x.js'));

/** Asks what was compiled under this name. */
async function ask(name, variables = {}) {
  const { params } = require(`./fragments${name}.graphql.js`);
  const answer = await fetch(`${options.url}/graphql`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ query: params.text, variables }),
  });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(`${name}: ${JSON.stringify(errors)}`);
  return data;
}

const { me } = await ask('MeQuery');
const account = await ask('AccountRefetchQuery', { nodeId: me.nodeId });
console.log(`fetched again: ${account.node.__typename} ${account.node.username}`);

const [newest] = (await ask('RecordsQuery')).medicalRecords.nodes;
const record = await ask('RecordRefetchQuery', { nodeId: newest.nodeId });
console.log(`fetched again: ${record.node.__typename} version ${record.node.version}`);
let cursor = null;
for (let hasNextPage = true; hasNextPage; ) {
  const page = await ask('HistoryPaginationQuery', { nodeId: newest.nodeId, count: 1, cursor });
  const { edges, pageInfo } = page.node.history;
  console.log(`a page: ${edges.map(({ node }) => `version ${node.version}`).join()}`);
  cursor = pageInfo.endCursor;
  hasNextPage = pageInfo.hasNextPage;
}

let before = null;
for (let hasPreviousPage = true; hasPreviousPage; ) {
  const page = await ask('ConsentsPaginationQuery', { first: null, after: null, last: 1, before });
  const { edges, pageInfo, totalCount } = page.consents;
  console.log(`back: ${edges.map(({ node }) => node.purpose).join()} of ${totalCount}`);
  before = pageInfo.startCursor;
  hasPreviousPage = pageInfo.hasPreviousPage;
}

const { nodes } = await ask('NodesQuery', { ids: [newest.nodeId, me.nodeId] });
console.log(`together: ${nodes.map((node) => node.__typename).join()}`);
