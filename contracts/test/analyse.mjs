#!/usr/bin/env node
// Runs slither and halmos over the contracts, in an environment of their own under target/, which it makes from
// requirements.txt (PyPI) the first time. Needs Python 3.11 or newer beside Node. Run in the root of the repository:
//   node contracts/test/analyse.mjs            both
//   node contracts/test/analyse.mjs slither    fails unless slither reports exactly what check.py argues for
//   node contracts/test/analyse.mjs halmos     proves the symbolic properties
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';

const home = resolve('target/analysis');
const requirements = 'contracts/test/requirements.txt';
const installed = `${home}/installed.txt`;
const analyses = { slither: 'contracts/test/slither/check.py', halmos: 'contracts/test/halmos/prove.py' };

function run(program, args, env = {}) {
  const ended = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  if (ended.error) throw new Error(`${program} cannot be started: ${ended.error.message}`);
  if (ended.status !== 0) process.exit(ended.status ?? 1);
}

const wanted = process.argv[2] ? [process.argv[2]] : Object.keys(analyses);
if (wanted.some((name) => !analyses[name])) {
  console.error(`usage: analyse.mjs [${Object.keys(analyses).join(' | ')}]`);
  process.exit(2);
}
const list = readFileSync(requirements, 'utf8');
if (!existsSync(installed) || readFileSync(installed, 'utf8') !== list) {
  run('python3', ['-m', 'venv', '--clear', home]);
  run(`${home}/bin/pip`, ['install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  writeFileSync(installed, list);
}
const path = [resolve('node_modules/.bin'), `${home}/bin`, process.env.PATH].join(delimiter);
for (const name of wanted) run(`${home}/bin/python`, [analyses[name]], { PATH: path });
