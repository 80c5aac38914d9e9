// Who is logged in, in this browser tab only: the tokens go when the tab is closed.
import { state } from './state.js';

const KEY = 'meditrustal:session';
/** How long before its end a token is exchanged for the next one. Unit: milliseconds. */
const AHEAD = 30_000;
/** How long to wait for an API that does not answer. Unit: milliseconds. */
const AGAIN = 5_000;

/** What is told where a log-in has ended by itself. */
const OVER = { kind: 'error', text: 'Your log-in is over. Log in again: what is in your tabs stays.' };

const stored = read();

/** `{ token, expiresAt: Date, refreshToken?, refreshExpiresAt?: Date, user: { id, username, email, role } }`, or null. */
export const session = state(stored && !isOver(stored) ? stored : null);

/**
 * What the account bar has to say besides who is logged in: `{ kind: 'hint' | 'error', text, login? }`, or null; `login` is
 * the user name of whoever was logged in until now, where that ended by itself.
 */
export const notice = state(stored && !session.get() ? { ...OVER, login: stored.user?.username } : null);

let timer;
let refresh;
/** The exchange of tokens that is under way, if one is. */
let renewing;
/** The tokens of this log-in, each of which the present one takes the place of. */
const tokens = new Set();

/** Says how to get the next tokens: answers the payload of `refreshSession`, or null where the log-in is over. */
export function goOnBy(ask) {
  refresh = ask;
  watchExpiry();
}

/** The log-in that this tab had when its page was loaded last; it may be over. */
function read() {
  try {
    return withDates(JSON.parse(sessionStorage.getItem(KEY)));
  } catch {
    return null;
  }
}

function withDates(stored) {
  return {
    ...stored,
    expiresAt: new Date(stored.expiresAt),
    refreshExpiresAt: stored.refreshExpiresAt && new Date(stored.refreshExpiresAt),
  };
}

function isOver({ expiresAt, refreshToken, refreshExpiresAt }) {
  const now = new Date();
  return expiresAt <= now && !(refreshToken && refreshExpiresAt > now);
}

/** Takes the payload of a `logIn` or `refreshSession` mutation, whether the bar or a tab ran it. */
export function begin({ accessToken, expiresAt, refreshToken, refreshExpiresAt, user }) {
  const next = { token: accessToken, expiresAt, refreshToken, refreshExpiresAt, user: user ?? session.get()?.user };
  if (user) tokens.clear();
  else if (session.get()) tokens.add(session.get().token);
  const dated = withDates(next);
  session.set(isOver(dated) ? null : dated);
  sessionStorage.setItem(KEY, JSON.stringify(next));
  notice.set(null);
  watchExpiry();
}

/** Forgets the log-in. With a reason where nobody asked for it: the bar says why, and offers to log in again as the same. */
export function end(reason = null) {
  const login = session.get()?.user?.username;
  sessionStorage.removeItem(KEY);
  tokens.clear();
  // Before the form is there, which begins with that name.
  notice.set(reason && { ...reason, login });
  session.set(null);
  watchExpiry();
}

/** Whether this is the token of the log-in, or was before it was exchanged. */
export function isOurs(token) {
  return Boolean(token) && (token === session.get()?.token || tokens.has(token));
}

/** Exchanges the token now, because the API says that it has expired. Throws where the log-in is over. */
export async function renew() {
  const now = session.get();
  if (now?.refreshToken) await (renewing ??= goOn().finally(() => (renewing = undefined)));
  if (!session.get() || session.get() === now) throw new Error('Your token has expired. Log in again.');
}

function watchExpiry() {
  clearTimeout(timer);
  const now = session.get();
  if (!now) return;
  if (now.refreshToken && refresh) {
    timer = setTimeout(() => renew().catch(() => {}), Math.max(now.expiresAt - Date.now() - AHEAD, 0));
    return;
  }
  const left = Math.max(now.expiresAt - Date.now(), 0);
  timer = setTimeout(() => end({ kind: 'error', text: 'Your token has expired. Log in again.' }), left);
}

async function goOn() {
  const asked = session.get();
  try {
    const next = await refresh(asked.refreshToken);
    if (session.get() !== asked) return; // Somebody logged in or out meanwhile.
    if (next) begin(next);
    else end(OVER);
  } catch {
    // Nobody answers: the token may still be good, and the next attempt may be heard.
    if (session.get() !== asked) return;
    if (isOver(asked)) end(OVER);
    else timer = setTimeout(() => renew().catch(() => {}), AGAIN);
  }
}
