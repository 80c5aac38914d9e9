// The report of an import comes in pieces, which end anywhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

globalThis.navigator ??= { language: 'en-GB' };
Object.defineProperty(globalThis, 'localStorage', { value: { getItem: () => 'en', setItem() {} }, configurable: true });
const { linesOf, sendFile } = await load('test/all.ts');

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

/** Requests that are answered one after the other by these. */
function answering(...answers) {
  const sent = [];
  globalThis.XMLHttpRequest = class {
    upload = {};
    status = 0;
    responseText = '';
    headers = {};
    open() {}
    abort() {}
    setRequestHeader(name, value) { this.headers[name] = value; }
    send() {
      sent.push(this.headers.authorization);
      Object.assign(this, answers.shift());
      queueMicrotask(() => this.onload());
    }
  };
  return sent;
}
const refused = (code) => ({ status: 401, responseText: JSON.stringify({ errors: [{ message: 'no', extensions: { code } }] }) });
const sends = (told = []) => sendFile(
  new URL('https://api.example/import'), { name: 'a.ndjson' }, { onSent() {}, onLines: (lines) => told.push(...lines) },
  new AbortController().signal, async (isOver) => (isOver ? 'new' : 'old'),
);

test('a file is sent once more where the token was over, and no more', async () => {
  const told = [];
  let sent = answering(refused('TOKEN_EXPIRED'), { status: 200, responseText: '{"ended":"COMPLETE"}' });
  assert.equal(await sends(told), '{"ended":"COMPLETE"}');
  assert.deepEqual(sent, ['Bearer old', 'Bearer new']);
  assert.deepEqual(told, [{ ended: 'COMPLETE' }]);

  sent = answering(refused('TOKEN_EXPIRED'), refused('TOKEN_EXPIRED'));
  await assert.rejects(sends(), ({ graphQLErrors }) => graphQLErrors[0].extensions.code === 'TOKEN_EXPIRED');
  assert.equal(sent.length, 2);

  sent = answering(refused('UNAUTHENTICATED'));
  await assert.rejects(sends(), ({ graphQLErrors }) => graphQLErrors[0].extensions.code === 'UNAUTHENTICATED');
  assert.equal(sent.length, 1);
});
