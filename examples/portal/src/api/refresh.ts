// The refresh token, which is a cookie of the browser that no script reads (decision 0084): it is exchanged, set and taken
// away here, by one tab at a time.
import { Client, type CombinedError, fetchExchange } from '@urql/core';
import { graphql } from '../gql';
import { type Access, isGood } from './access';
import { alone } from './alone';
import { complete } from './payload';
import { apiUrl, plain } from './address';
import {
  type LogIn, accessToken, begin, browserLogIn, end, ending, isIdle, isToBeEnded, onOtherTab, release, renew, session,
} from './session';

/** Sends the cookie along, and the proof that no foreign page has the request sent. */
export const WITH_COOKIE = { fetchOptions: { credentials: 'include', headers: { 'x-meditrustal-csrf': '1' } } } as const;

/** A token is exchanged this long before it ends. Unit: milliseconds. */
const AHEAD = 30_000;
/** How long a request may take, while other tabs wait. Unit: milliseconds. */
const PATIENCE = 30_000;

const REFRESH = graphql(`
  mutation Refresh($input: RefreshSessionInput!) {
    refreshSession(input: $input) { accessToken expiresAt session { id } }
  }
`);
const LOG_OUT = graphql(`
  mutation LogOut { logOut { endedSessions } }
`);
const WHO = graphql(`
  query WhoIsLoggedIn { me { id username role } }
`);

const bare = new Client({
  url: new URL('graphql', apiUrl).href,
  exchanges: [fetchExchange],
  fetch: (url, init) => fetch(url, { ...plain(init), signal: AbortSignal.timeout(PATIENCE) }),
  preferGetMethod: false,
  requestPolicy: 'network-only',
});

let exchanging: Promise<void> | undefined;

/** The token of the person who is logged in; exchanged before, where it is about to end. */
export async function freshToken(isOver = false): Promise<string | undefined> {
  if (!session.get()) return undefined;
  const now = accessToken();
  if (!isOver && now && isGood(now, AHEAD)) return now.token;
  await (exchanging ??= alone(exchange).finally(() => (exchanging = undefined)));
  return accessToken()?.token;
}

async function exchange(): Promise<void> {
  const mine = session.get();
  if (!mine) return undefined;
  // Whoever logged in meanwhile has the cookie now.
  if (browserLogIn() !== mine.logIn) return endElsewhere();
  const { renewed, error } = await refresh();
  if (session.get() !== mine) return undefined;
  if (renewed?.session.id === mine.logIn) return renew(renewed);
  if (renewed) return endElsewhere();
  if (isOver(error)) return end('over');
  throw error?.networkError ?? new TypeError(error?.message ?? 'the token could not be exchanged');
}

/** Exchanges the cookie for an access token, and for the next cookie. */
async function refresh() {
  const { data, error } = await bare.mutation(REFRESH, { input: {} }, WITH_COOKIE).toPromise();
  return { renewed: complete(data?.refreshSession), error };
}

function isOver(error: CombinedError | undefined): boolean {
  const code = error?.graphQLErrors[0]?.extensions['code'];
  return code === 'SESSION_ENDED' || code === 'UNAUTHENTICATED';
}

/** Goes on with the browser's log-in in a tab that is new; ends one that nobody used for too long, or that is to be ended. */
export async function adopt(): Promise<void> {
  if (session.get()) {
    if (isIdle()) void logOut('idle').catch(() => {});
    return;
  }
  if (browserLogIn() && isIdle()) {
    release(false);
    ending.set('idle');
  }
  if (isToBeEnded()) void tellOfEnd().catch(() => {});
  if (!browserLogIn()) return;
  await alone(async () => {
    // Another tab may have ended it meanwhile, or somebody logged in here.
    if (session.get() || !browserLogIn()) return undefined;
    const { renewed, error } = await refresh();
    if (isOver(error)) return release(true);
    if (!renewed) return undefined;
    const { data } = await bare.query(WHO, {}, bearing(renewed.accessToken)).toPromise();
    if (data?.me) begin({ ...renewed, user: data.me });
    return undefined;
  });
}

/** Does a log-in, which has the cookie set, and begins it here. What is to be ended is ended before: its cookie is lost then. */
export function beginBy(logIn: () => Promise<LogIn | undefined>): Promise<void> {
  return alone(async () => {
    await revoke();
    const begun = await logIn();
    if (begun) begin(begun);
  });
}

/** Ends the log-in at the api, too, and takes the cookie away; here it ends in any case. */
export async function logOut(why: 'idle' | null = null): Promise<void> {
  const access = accessToken();
  const ended = end(why, false);
  await tellOfEnd(access);
  await ended;
}

/**
 * Tells the api of a log-in that has ended here. Without a connection that is done when there is one again, or when the portal
 * is opened the next time.
 */
export function tellOfEnd(access?: Access): Promise<void> {
  return alone(() => revoke(access));
}

async function revoke(access?: Access): Promise<void> {
  if (!isToBeEnded()) return;
  // A page that was loaded again has no access token yet.
  if (access && isGood(access)) {
    const { data } = await bare.mutation(LOG_OUT, {}, bearing(access.token, WITH_COOKIE)).toPromise();
    if (data?.logOut) return release(true);
  }
  const { renewed, error } = await refresh();
  if (isOver(error)) return release(true);
  if (!renewed) return;
  const { data } = await bare.mutation(LOG_OUT, {}, bearing(renewed.accessToken, WITH_COOKIE)).toPromise();
  if (data?.logOut) release(true);
}

/** Another log-in has the cookie: this one ends by its access token, and leaves the cookie where it is. */
async function endElsewhere(): Promise<void> {
  const access = accessToken();
  const ended = end('elsewhere');
  if (access && isGood(access)) await bare.mutation(LOG_OUT, {}, bearing(access.token)).toPromise();
  await ended;
}

/** By an access token, also while the page is left: browsers that ask another origin first may refuse that. */
function bearing(token: string, more: { fetchOptions?: RequestInit } = {}) {
  const headers = { ...(more.fetchOptions?.headers as Record<string, string> | undefined), authorization: `Bearer ${token}` };
  return { fetchOptions: { ...more.fetchOptions, headers, keepalive: apiUrl.origin === location.origin } };
}

/** Follows the other tabs, and the connection. */
export function follow(): void {
  onOtherTab(() => {
    const mine = session.get();
    if (!mine || browserLogIn() === mine.logIn) return;
    void (browserLogIn() ? endElsewhere() : end('over')).catch(() => {});
  });
  window.addEventListener('online', () => {
    // A tab that was opened without a connection has had nobody yet; one whose log-in has ended says so until somebody logs in.
    if (!session.get() && ending.get() === null) void adopt().catch(() => {});
    else if (isToBeEnded()) void tellOfEnd().catch(() => {});
  });
}
