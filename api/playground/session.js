// Who is logged in, in this browser tab only: the token goes when the tab is closed.
import { state } from './state.js';

const KEY = 'meditrustal:session';

/** `{ token, expiresAt: Date, user: { id, username, email, role } }`, or null. */
export const session = state(restore());

/** What the account bar has to say besides who is logged in: `{ kind: 'hint' | 'error', text }`, or null. */
export const notice = state(null);

let timer;
watchExpiry();

function restore() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(KEY));
    const expiresAt = new Date(stored.expiresAt);
    return expiresAt > new Date() ? { ...stored, expiresAt } : null;
  } catch {
    return null;
  }
}

/** Takes the payload of a `logIn` mutation, whether the bar or a tab ran it. */
export function begin({ accessToken, expiresAt, user }) {
  session.set({ token: accessToken, expiresAt: new Date(expiresAt), user });
  sessionStorage.setItem(KEY, JSON.stringify(session.get()));
  notice.set(null);
  watchExpiry();
}

export function end(reason = null) {
  sessionStorage.removeItem(KEY);
  session.set(null);
  notice.set(reason);
  watchExpiry();
}

function watchExpiry() {
  clearTimeout(timer);
  const now = session.get();
  if (!now) return;
  // setTimeout counts in 32 bits: look again at least once a day.
  const left = now.expiresAt - Date.now();
  timer = setTimeout(
    () => (now.expiresAt > new Date() ? watchExpiry() : end({ kind: 'hint', text: 'Your token has expired. Log in again.' })),
    Math.min(Math.max(left, 0), 86_400_000),
  );
}
