#!/usr/bin/env node
// The solc that package-lock.json pins, with the two faces forge needs: `--version`, and `--standard-json`,
// stdin to stdout. forge puts every source into its request, so no import is ever looked up here.
import { readFileSync } from 'node:fs';
import solc from 'solc';

const args = process.argv.slice(2);
if (args.includes('--version')) {
  console.log('solc, the solidity compiler commandline interface');
  console.log(`Version: ${solc.version()}`);
} else if (args.includes('--standard-json')) {
  process.stdout.write(solc.compile(readFileSync(0, 'utf8')));
} else {
  console.error('usage: solc.mjs --version | --standard-json < request.json');
  process.exit(1);
}
