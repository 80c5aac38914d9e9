#!/usr/bin/env node
// Writes contracts/abi from forge's output; with --check, says whether it is up to date. Run `forge build` first.
import { readFileSync, writeFileSync } from 'node:fs';

const here = new URL('.', import.meta.url);
let stale = false;
for (const name of ['MedicalRecordRegistry', 'ConsentRegistry']) {
  const { abi } = JSON.parse(readFileSync(new URL(`out/${name}.sol/${name}.json`, here), 'utf8'));
  const file = new URL(`abi/${name}.json`, here);
  const text = JSON.stringify(abi, null, 2) + '\n';
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
  } else if (readFileSync(file, 'utf8') !== text) {
    console.error(`contracts/abi/${name}.json is not what the contract compiles to: run contracts/abi.mjs`);
    stale = true;
  }
}
process.exit(stale ? 1 : 0);
