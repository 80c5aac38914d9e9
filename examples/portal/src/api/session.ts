// Who is logged in, in this browser.
//
// The refresh token is a cookie that no script reads (`refresh.ts`): one for all tabs, so that one person is logged in.
// The access token is in memory alone. `sessionStorage`, which ends with the tab, has who it is and the key of what is
// kept for the time without a connection; `localStorage` has which log-in is this browser's, and when it was last used.
import type { LogInMutation } from '../gql/graphql';
import { type Access, accessOf } from './access';
import { Answers, canKeep } from './answers';
import type { Complete } from './payload';
import { store } from './store';

const KEY = 'meditrustal:portal';
/** The ID of the browser's log-in; `OVER` where it has ended here and the api does not know yet. */
const LOG_IN = 'meditrustal:portal:log-in';
const OVER = 'over';
/** When something was last done in any tab. Unit: milliseconds since 1970. */
const USED = 'meditrustal:portal:used';
/** After how long without a key or a touch the portal logs out. Unit: milliseconds. */
export const IDLE = 15 * 60_000;
/** How long before that the person is warned. Unit: milliseconds. */
export const WARNING = 60_000;

export type LogIn = Complete<Omit<NonNullable<LogInMutation['logIn']>, '__typename' | 'userErrors'>>;
export type Person = LogIn['user'];

interface Kept {
  /** The ID of the log-in. */
  readonly logIn: string;
  readonly person: Person;
  readonly database: string;
  readonly secret: string;
}

export interface Session {
  readonly logIn: string;
  readonly person: Person;
  readonly answers: Answers | undefined;
}

export const session = store<Session | null>(null);
export type Ending = 'idle' | 'over' | 'elsewhere' | 'deactivated';

/** Why nobody is logged in any more. */
export const ending = store<Ending | null>(null);

let access: Access | undefined;

/** Goes on with what this tab had before it was loaded again, if that is the browser's log-in still. */
export function resume(): void {
  const text = sessionStorage.getItem(KEY);
  if (!text) return;
  const kept = JSON.parse(text) as Kept;
  if (kept.logIn && kept.logIn === browserLogIn()) session.set({ logIn: kept.logIn, person: kept.person, answers: answersOf(kept) });
  else sessionStorage.removeItem(KEY);
}

/** The ID of the log-in that the browser's cookie belongs to, as far as its tabs know. */
export function browserLogIn(): string | undefined {
  const kept = localStorage.getItem(LOG_IN);
  return kept && kept !== OVER ? kept : undefined;
}

/** Whether a log-in has ended here of which the api was not told. */
export const isToBeEnded = (): boolean => localStorage.getItem(LOG_IN) === OVER;

/** Notes that something was done. */
export function touch(at: number): void {
  const before = lastUsed();
  // A time that is still to come was noted before the clock was set back.
  if (browserLogIn() && (at > before || before > Date.now())) localStorage.setItem(USED, String(at));
}

/** When something was last done in any tab. Unit: milliseconds since 1970. */
export function lastUsed(): number {
  return Number(localStorage.getItem(USED)) || 0;
}

/** Whether nothing was done for too long, also while no page was open; or that cannot be told, as the clock was set back. */
export function isIdle(): boolean {
  return !(Math.abs(Date.now() - lastUsed()) <= IDLE);
}

/** Begins a log-in, or in another tab the one that the browser has. */
export function begin(logIn: LogIn): void {
  void session.get()?.answers?.drop();
  access = accessOf(logIn);
  const secret = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const kept: Kept = { logIn: logIn.session.id, person: logIn.user, database: crypto.randomUUID(), secret };
  sessionStorage.setItem(KEY, JSON.stringify(kept));
  localStorage.setItem(LOG_IN, kept.logIn);
  touch(Date.now());
  ending.set(null);
  session.set({ logIn: kept.logIn, person: kept.person, answers: answersOf(kept) });
}

/** Takes the access token that an exchange gave. */
export function renew(next: { accessToken: string; expiresAt: string }): void {
  access = accessOf(next);
}

export function accessToken(): Access | undefined {
  return access;
}

/**
 * Forgets the person, and everything that was read. Other tabs of the same log-in do the same. `isTold` is whether the api
 * knows already; where it does not, that is noted (`isToBeEnded`).
 */
export async function end(why: Ending | null = null, isTold = true): Promise<void> {
  const before = session.get();
  access = undefined;
  sessionStorage.removeItem(KEY);
  // Another log-in of this browser is none of ours.
  if (before && browserLogIn() === before.logIn) release(isTold);
  ending.set(why);
  session.set(null);
  await before?.answers?.drop();
}

/** Notes that the browser's log-in has ended; `isTold` is whether the api knows. */
export function release(isTold: boolean): void {
  localStorage.removeItem(USED);
  if (isTold) localStorage.removeItem(LOG_IN);
  else localStorage.setItem(LOG_IN, OVER);
}

/** Tells when the browser's log-in is another one, or none, by another tab. */
export function onOtherTab(action: () => void): void {
  // The key is null where everything was removed.
  window.addEventListener('storage', ({ key }) => {
    if (key === LOG_IN || key === null) action();
  });
}

function answersOf(of: Kept): Answers | undefined {
  return canKeep ? new Answers(of.database, of.secret) : undefined;
}
