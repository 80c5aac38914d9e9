// Who is logged in, in this tab.
//
// The access token is in memory alone. `sessionStorage`, which ends with the tab, has the refresh token, so that
// the page can be loaded again, and the key of what is kept for the time without a connection.
import type { LogInMutation } from '../gql/graphql';
import { Answers, canKeep } from './answers';
import type { Complete } from './payload';
import { store } from './store';

const KEY = 'meditrustal:portal';
/** When something was last done in this tab. Unit: milliseconds since 1970. */
const USED = 'meditrustal:portal:used';
/** After how long without a key or a touch the portal logs out. Unit: milliseconds. */
export const IDLE = 15 * 60_000;
/** How long before that the person is warned. Unit: milliseconds. */
export const WARNING = 60_000;

type LogIn = Complete<NonNullable<LogInMutation['logIn']>>;
export type Person = LogIn['user'];

interface Kept {
  readonly refreshToken: string;
  readonly person: Person;
  readonly database: string;
  readonly secret: string;
}

export interface Session {
  readonly person: Person;
  readonly answers: Answers | undefined;
}

interface Access {
  readonly token: string;
  /** Unit: milliseconds since 1970. */
  readonly expiresAt: number;
}

export const session = store<Session | null>(null);
export type Ending = 'idle' | 'over' | 'deactivated';

/** Why nobody is logged in any more. */
export const ending = store<Ending | null>(null);

let access: Access | undefined;
let kept: Kept | undefined;

/** Goes on with the log-in of this tab, if there is one. */
export function resume(): void {
  const text = sessionStorage.getItem(KEY);
  if (!text) return;
  kept = JSON.parse(text) as Kept;
  session.set({ person: kept.person, answers: answersOf(kept) });
}

/** Notes that something was done. */
export function touch(at: number): void {
  sessionStorage.setItem(USED, String(at));
}

/**
 * Whether nothing was done for too long, also while no page was open: a browser that opens a closed tab again gives
 * it what was in its `sessionStorage`.
 */
export function isIdle(): boolean {
  return !(Date.now() - Number(sessionStorage.getItem(USED)) <= IDLE);
}

export function begin(logIn: LogIn): void {
  access = { token: logIn.accessToken, expiresAt: Date.parse(logIn.expiresAt) };
  const secret = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  keep({ refreshToken: logIn.refreshToken, person: logIn.user, database: crypto.randomUUID(), secret });
  touch(Date.now());
  ending.set(null);
  session.set({ person: logIn.user, answers: answersOf(kept) });
}

/**
 * Takes the tokens that an exchange of `before` gave. False where that log-in has ended meanwhile: then they belong to
 * nobody here, least of all to whoever logged in after it.
 */
export function renew(before: string, next: { accessToken: string; expiresAt: string; refreshToken: string }): boolean {
  if (kept?.refreshToken !== before) return false;
  access = { token: next.accessToken, expiresAt: Date.parse(next.expiresAt) };
  keep({ ...kept, refreshToken: next.refreshToken });
  return true;
}

export function accessToken(): Access | undefined {
  return access;
}

export function refreshToken(): string | undefined {
  return kept?.refreshToken;
}

/** Forgets the person, and everything that was read. */
export async function end(why: Ending | null = null): Promise<void> {
  const before = session.get();
  access = undefined;
  kept = undefined;
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(USED);
  ending.set(why);
  session.set(null);
  await before?.answers?.drop();
}

function keep(next: Kept): void {
  kept = next;
  sessionStorage.setItem(KEY, JSON.stringify(next));
}

function answersOf(of: Kept | undefined): Answers | undefined {
  return of && canKeep ? new Answers(of.database, of.secret) : undefined;
}
