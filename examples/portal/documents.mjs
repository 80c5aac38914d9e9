// Writes the documents that the portal asks with, each by its SHA-256, as MEDITRUSTAL_TRUSTED_DOCUMENTS takes them.
//
// The portal sends its documents as text, which the api compares with this file by the hash. So they are written here as `urql` sends
// them: with the name of the type in each selection where its cache reads the answer (`client.ts`), and without it for subscriptions
// and where there is no cache (`refresh.ts`). What `persistedDocuments` of the code generation writes is spelt in another way.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRequest, formatDocument, stringifyDocument } from '@urql/core';

const here = dirname(fileURLToPath(import.meta.url));
const generated = await readFile(join(here, 'src/gql/graphql.ts'), 'utf8');
const documents = {};
for (const [, text] of generated.matchAll(/^export const \w+Document = (\{.*\}) as unknown as /gm)) {
  const { query } = createRequest(JSON.parse(text), {});
  for (const each of [query, formatDocument(query)]) {
    const sent = stringifyDocument(each);
    documents[createHash('sha256').update(sent).digest('hex')] = sent;
  }
}
const names = Object.keys(documents).sort();
if (names.length === 0) throw new Error('the code generation wrote no documents');
const sorted = Object.fromEntries(names.map((name) => [name, documents[name]]));
await writeFile(process.argv[2] ?? join(here, 'src/gql/persisted-documents.json'), `${JSON.stringify(sorted, null, 2)}\n`);
