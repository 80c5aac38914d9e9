#!/usr/bin/env node
// The forge that package-lock.json pins. node_modules/.bin/forge runs the same program and then exits with 0 whatever
// became of it, so that a failed test looks like a passed one; this hands the exit code on.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const cpu = process.arch === 'x64' ? 'amd64' : process.arch;
const name = process.platform === 'win32' ? 'forge.exe' : 'forge';
const forge = createRequire(import.meta.url).resolve(`@foundry-rs/forge-${process.platform}-${cpu}/bin/${name}`);
const run = spawnSync(forge, process.argv.slice(2), { stdio: 'inherit' });
if (run.error) throw run.error;
process.exit(run.status ?? 1);
