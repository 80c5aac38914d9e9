#!/usr/bin/env node
// Puts each fault of mutants.mjs into a copy of the project and expects forge's tests to fail. The gas tests are left
// out: they would notice every change, and prove nothing by it. Run in the root of the repository:
//   node contracts/test/mutants/run.mjs [part of a name]...
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mutants, survives } from './mutants.mjs';

const copy = 'target/mutants';
const forge = `${process.cwd()}/contracts/forge.mjs`;
const wanted = process.argv.slice(2);

rmSync(copy, { recursive: true, force: true });
mkdirSync(copy, { recursive: true });
const generated = /contracts\/(out|cache|broadcast)(\/|$)/;
for (const path of ['contracts', 'foundry.toml']) {
  cpSync(path, `${copy}/${path}`, { recursive: true, filter: (from) => !generated.test(from) });
}
// The npm solc reads nothing outside of the project, links included: what the contracts import is copied, and solc with
// what it needs itself, wherever npm has put that.
copyPackage('@openzeppelin/contracts');
copyPackage('@layerzerolabs/toolbox-foundry');
copyWithDependencies('solc');

function copyPackage(name) {
  cpSync(`node_modules/${name}`, `${copy}/node_modules/${name}`, { recursive: true });
}

function copyWithDependencies(name) {
  const home = `node_modules/${name}`;
  if (existsSync(`${copy}/${home}`)) return;
  copyPackage(name);
  const { dependencies = {} } = JSON.parse(readFileSync(`${home}/package.json`, 'utf8'));
  for (const needed of Object.keys(dependencies)) {
    if (!existsSync(`${home}/node_modules/${needed}`)) copyWithDependencies(needed);
  }
}

// Unoptimised and with few fuzz runs, because it is the same program; what survives that meets everything.
const quick = { FOUNDRY_OPTIMIZER: 'false', FOUNDRY_FUZZ_RUNS: '32', FOUNDRY_LINT_LINT_ON_BUILD: 'false' };

// Dynamic linking recompiles no test. One test holds the deployed code against the code it was compiled with, and so
// would notice every change, like the gas tests.
const always = ['test', '--fail-fast', '--dynamic-test-linking', '--no-match-test', 'Code_IsTheSame'];

function test(...args) {
  const run = spawnSync(forge, [...always, ...args], {
    cwd: copy, encoding: 'utf8', env: { ...process.env, ...quick }, maxBuffer: 256 * 1024 * 1024,
  });
  const output = run.stdout + run.stderr;
  if (/Compiler run failed|Compilation failed/.test(output)) throw new Error(output);
  // The reason may hold brackets of its own, as a counterexample does.
  const by = /^\[FAIL.*\] (\w+)\(/m.exec(output)?.[1];
  // Whatever else ends forge, such as a signal or a want of memory, kills no fault.
  if (run.status !== 0 && !by) throw new Error(`forge ended (${run.status ?? run.signal ?? run.error}) and named no test\n${output}`);
  return { passed: run.status === 0, by };
}

function testEverything() {
  const units = test('--match-path', 'contracts/test/{registry,consent,merkle}/*');
  return units.passed ? test('--no-match-contract', 'Gas') : units;
}

if (!testEverything().passed) throw new Error('the tests fail without any fault');
let killed = 0;
const alive = [];
const broken = [];
const isWanted = (name) => wanted.length === 0 || wanted.some((part) => name.includes(part));
const chosen = mutants.filter(([name]) => isWanted(name));
for (const [name, file, from, to] of chosen) {
  const path = `${copy}/contracts/src/${file}`;
  const source = readFileSync(path, 'utf8');
  if (!source.includes(from)) throw new Error(`${name}: ${file} does not hold\n${from}`);
  writeFileSync(path, source.replace(from, () => to));
  let tried;
  try {
    tried = testEverything();
  } catch (error) {
    console.log(`BROKEN    ${name}  (${error.message.split('\n', 1)[0]})`);
    console.error(error.message);
    broken.push(name);
    continue;
  } finally {
    writeFileSync(path, source);
  }
  const { passed, by } = tried;
  if (passed) alive.push(name);
  else killed += 1;
  console.log(`${passed ? 'SURVIVED' : 'killed'}  ${name}${passed ? '' : `  (${by})`}`);
}
console.log(`${killed} of ${chosen.length} killed`);
for (const name of alive) console.log(`${name}: ${survives[name] ?? 'NOT EXPLAINED'}`);
for (const name of broken) console.log(`${name}: NOT TRIED, see above`);
process.exit(broken.length === 0 && alive.every((name) => survives[name]) ? 0 : 1);
