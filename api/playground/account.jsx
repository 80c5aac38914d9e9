// The bar over the editor: log in, who one is, log out.
import { Button, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useRef, useState } from 'react';
import { useReadableEditors, useTokenInHeaders } from './editors.js';
import { notice, session } from './session.js';
import { logIn, logOut } from './transport.js';
import icon from './icon.svg';

export function AccountBar() {
  useReadableEditors();
  useTokenInHeaders();
  useSchemaAfterLogIn();
  const now = session.use();
  return (
    // GraphiQL defines its colours on .graphiql-container: the bar borrows them in both themes.
    <header className="graphiql-container account-bar">
      <h1><img src={icon} alt="" width="20" height="20" />MediTrustAl</h1>
      {now ? <LoggedIn {...now} /> : <LogInForm />}
      <Notice />
    </header>
  );
}

function LogInForm() {
  const [busy, setBusy] = useState(false);
  const passwordField = useRef(null);
  const [again] = useState(() => notice.get()?.login);
  // A log-in that ended by itself takes the focus from nobody who types elsewhere.
  useEffect(() => {
    if (again && document.activeElement === document.body) passwordField.current?.focus();
  }, []);

  async function submit(event) {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    notice.set(null);
    try {
      await logIn(fields.get('login').trim(), fields.get('password'));
    } catch (error) {
      notice.set({ kind: 'error', text: error.message });
      setBusy(false);
      passwordField.current?.select();
    }
  }

  return (
    <form onSubmit={submit} aria-label={again ? 'Log in again' : 'Log in'} aria-busy={busy} data-again={again && ''}>
      <label>
        <span>E-mail or user name</span>
        <input name="login" type="text" autoComplete="username" autoCapitalize="none" spellCheck="false" defaultValue={again} required />
      </label>
      <label>
        <span>Password</span>
        <input ref={passwordField} name="password" type="password" autoComplete="current-password" required />
      </label>
      <Button type="submit" disabled={busy}>{busy ? 'Logging in …' : again ? 'Log in again' : 'Log in'}</Button>
    </form>
  );
}

function LoggedIn({ user, expiresAt }) {
  const button = useRef(null);
  // The form that had the focus is gone; without this a keyboard user starts over.
  useEffect(() => {
    if (document.activeElement === document.body) button.current?.focus();
  }, []);
  return (
    <div className="account" role="group" aria-label="Account">
      <span role="status">
        <span className="account-as">Logged in as </span>
        <strong title={user.email ?? undefined}>{user.username}</strong>
        {user.role && <span className="account-role">{user.role}</span>}
      </span>
      <span className="account-until">token until <time dateTime={expiresAt.toISOString()}>{clock(expiresAt)}</time></span>
      <Button ref={button} type="button" onClick={logOut}>Log out</Button>
    </div>
  );
}

function Notice() {
  const now = notice.use();
  return (
    <>
      <p className="account-notice" role="status">{now?.kind === 'hint' && now.text}</p>
      <p className="account-notice account-error" role="alert">{now?.kind === 'error' && now.text}</p>
    </>
  );
}

/** An API may show its schema only to those who are logged in. */
function useSchemaAfterLogIn() {
  const now = session.use();
  const { introspect } = useGraphiQLActions();
  const failed = useGraphiQL((graphiql) => Boolean(graphiql.fetchError));
  useEffect(() => {
    if (now && failed) introspect();
  }, [now]);
}

function clock(time) {
  const sameDay = time.toDateString() === new Date().toDateString();
  return time.toLocaleString(undefined, { ...(sameDay ? {} : { day: 'numeric', month: 'short' }), hour: '2-digit', minute: '2-digit' });
}
