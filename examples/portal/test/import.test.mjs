// The report of an import comes in pieces, which end anywhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

globalThis.navigator ??= { language: 'en-GB' };
Object.defineProperty(globalThis, 'localStorage', { value: { getItem: () => 'en', setItem() {} }, configurable: true });
const { linesOf } = await load('test/all.ts');

test('a report is read line by line, wherever it is cut', () => {
  const report = '{"entry":1,"outcome":"CREATED"}\n\n{"entry":2,"outcome":"REFUSED","message":"a\\nb"}\n{"ended":"COMPLETE"}';
  for (let cut = 0; cut <= report.length; cut += 1) {
    const first = linesOf(report.slice(0, cut), 0, false);
    const rest = linesOf(report, first.next, true);
    assert.deepEqual([...first.lines, ...rest.lines], [{ entry: 1, outcome: 'CREATED' }, { entry: 2, outcome: 'REFUSED', message: 'a\nb' }, { ended: 'COMPLETE' }], `cut at ${cut}`);
  }
});

test('a report that breaks off within a line is none', () => {
  assert.throws(() => linesOf('{"entry":1', 0, true));
  assert.deepEqual(linesOf('{"entry":1', 0, false), { lines: [], next: 0 });
});
