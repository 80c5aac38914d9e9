#!/usr/bin/env node
// Runs slither and halmos over the contracts, each in an environment of its own under target/analysis/, which is made
// the first time from the requirements.txt beside the program (PyPI, wheels alone, each held against its hash). Needs
// Python 3.11 or newer with venv beside Node. Run in the root of the repository:
//   node contracts/test/analyse.mjs            both
//   node contracts/test/analyse.mjs slither    fails unless slither reports exactly what check.py argues for
//   node contracts/test/analyse.mjs halmos     proves the symbolic properties
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';

const analyses = { slither: 'contracts/test/slither/check.py', halmos: 'contracts/test/halmos/prove.py' };

function fail(why) {
  console.error(why);
  process.exit(2);
}

function run(program, args, env = {}) {
  const ended = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  if (ended.error) fail(`${program} cannot be started: ${ended.error.message}`);
  if (ended.status !== 0) process.exit(ended.status ?? 1);
}

/// The Python to be used; ends with what is missing where there is none that will do.
function python() {
  const wanted = 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))';
  const tried = spawnSync('python3', ['-c', wanted], { encoding: 'utf8' });
  if (tried.error || tried.status !== 0) {
    const why = tried.error?.message ?? (tried.stderr.trim().split('\n').pop() || 'it is older');
    fail(`the analysis of the contracts needs python3, 3.11 or newer, with venv and ensurepip: ${why}`);
  }
  return 'python3';
}

/// The environment of an analysis, made anew when its requirements have changed.
function environment(name) {
  const home = resolve('target/analysis', name);
  const requirements = `contracts/test/${name}/requirements.txt`;
  const installed = `${home}/installed.txt`;
  const list = readFileSync(requirements, 'utf8');
  if (!existsSync(installed) || readFileSync(installed, 'utf8') !== list) {
    run(python(), ['-m', 'venv', '--clear', home]);
    const only = ['--require-hashes', '--only-binary', ':all:', '--requirement', requirements];
    run(`${home}/bin/python`, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...only]);
    writeFileSync(installed, list);
  }
  return home;
}

const wanted = process.argv[2] ? [process.argv[2]] : Object.keys(analyses);
if (wanted.some((name) => !analyses[name])) {
  fail(`usage: analyse.mjs [${Object.keys(analyses).join(' | ')}] [more for halmos]`);
}
for (const name of wanted) {
  const home = environment(name);
  const path = [resolve('node_modules/.bin'), `${home}/bin`, process.env.PATH].join(delimiter);
  run(`${home}/bin/python`, [analyses[name], ...process.argv.slice(3)], { PATH: path });
}
