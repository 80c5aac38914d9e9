// The access token by clocks that are wrong, and the cookie by one tab at a time.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { load } from './load.mjs';

globalThis.navigator ??= { language: 'en-GB' };
Object.defineProperty(globalThis, 'localStorage', { value: { getItem: () => 'en', setItem() {} }, configurable: true });
const { OtherTabBusy, accessOf, alone, isGood } = await load('test/all.ts');

const MINUTE = 60_000;
const clocks = { wall: Date.now, monotonic: performance.now };
afterEach(() => {
  Date.now = clocks.wall;
  performance.now = clocks.monotonic;
});

const inBase64Url = (claims) => Buffer.from(JSON.stringify(claims)).toString('base64url');
/** A token that the api issues at a moment of its clock, for a quarter of an hour. */
const issued = (at) => ({
  accessToken: `${inBase64Url({ alg: 'EdDSA' })}.${inBase64Url({ sub: 'ÿ?>', iat: at / 1_000, exp: (at + 15 * MINUTE) / 1_000 })}.signature`,
  expiresAt: new Date(at + 15 * MINUTE).toISOString(),
});

test('a token is good for as long as the api says, whatever the clock here is', () => {
  const at = Date.UTC(2026, 0, 1);
  for (const ahead of [0, 20 * MINUTE, -20 * MINUTE, 3_650 * 24 * 60 * MINUTE]) {
    Date.now = () => at + ahead;
    performance.now = () => 5_000;
    const access = accessOf(issued(at));
    assert.equal(access.endsAt, 5_000 + 15 * MINUTE, `${ahead} ms ahead`);
    assert.ok(isGood(access, 30_000));
    performance.now = () => 5_000 + 14.6 * MINUTE;
    assert.ok(isGood(access) && !isGood(access, 30_000));
    performance.now = () => 5_000 + 15 * MINUTE;
    assert.ok(!isGood(access));
  }
});

test('of a token that does not say when it was issued, the end counts', () => {
  Date.now = () => Date.UTC(2026, 0, 1);
  performance.now = () => 0;
  for (const accessToken of ['opaque', 'a.b.c', `a.${inBase64Url({ exp: 1 })}.c`]) {
    assert.equal(accessOf({ accessToken, expiresAt: '2026-01-01T00:01:00Z' }).endsAt, MINUTE);
  }
});

/** Locks of a browser, of which another tab may have the only one. */
function locks(isHeld) {
  const request = (name, { signal }, action) => (isHeld ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) : action());
  Object.defineProperty(globalThis.navigator, 'locks', { value: { request }, configurable: true });
}

test('a tab that never lets the cookie go is waited for, and then told of', async () => {
  locks(true);
  // A timer of a signal keeps no process.
  const awake = setInterval(() => {}, 1_000);
  await assert.rejects(alone(() => assert.fail('it has no lock'), 20), OtherTabBusy);
  clearInterval(awake);
});

test('what is done under the lock fails as itself, and is not cut off', async () => {
  locks(false);
  assert.equal(await alone(async () => 7, 20), 7);
  const late = () => new Promise((done) => setTimeout(done, 60, 'late'));
  assert.equal(await alone(late, 20), 'late');
  await assert.rejects(alone(() => late().then(() => { throw new TypeError('its own'); }), 20), TypeError);
});
