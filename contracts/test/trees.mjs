#!/usr/bin/env node
// Says whether every leaf of every .tree is one test of its folder, and every such test one leaf.
import { readdirSync, readFileSync } from 'node:fs';

const here = new URL('.', import.meta.url);
let failed = false;
for (const folder of ['registry', 'consent', 'merkle', 'script']) {
  const names = (suffix, pattern) =>
    readdirSync(new URL(`${folder}/`, here))
      .filter((file) => file.endsWith(suffix))
      .flatMap((file) => [...readFileSync(new URL(`${folder}/${file}`, here), 'utf8').matchAll(pattern)])
      .map((match) => match[1]);
  const leaves = names('.tree', /· (test_\w+)$/gm);
  const tests = names('.t.sol', /function (test_\w+)\(/g);
  const complain = (list, what) => {
    for (const name of list) {
      console.error(`${folder}: ${name} ${what}`);
      failed = true;
    }
  };
  complain(leaves.filter((name) => !tests.includes(name)), 'is a leaf without a test');
  complain(tests.filter((name) => !leaves.includes(name)), 'is a test without a leaf');
  complain(leaves.filter((name, at) => leaves.indexOf(name) !== at), 'is two leaves');
  console.log(`${folder}: ${leaves.length} leaves, ${tests.length} tests`);
}
process.exit(failed ? 1 : 0);
