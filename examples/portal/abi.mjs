// Writes what the page for verifying calls of the registry, from the ABI that the contracts are built with.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const abi = JSON.parse(await readFile(join(here, '../../contracts/abi/MedicalRecordRegistry.json'), 'utf8'));
const wanted = ['anchorOf', 'successorOf'].map((name) => {
  const found = abi.find((each) => each.type === 'function' && each.name === name);
  if (!found) throw new Error(`the registry has no ${name}`);
  return found;
});
await mkdir(join(here, 'src/gql'), { recursive: true });
await writeFile(join(here, 'src/gql/registry-abi.ts'), `export const registryAbi = ${JSON.stringify(wanted, null, 2)} as const;\n`);
