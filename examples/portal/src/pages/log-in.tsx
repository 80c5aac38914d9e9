import { type FormEvent, useState } from 'react';
import { CombinedError, useClient, useMutation } from 'urql';
import { Link } from 'wouter';
import { complete } from '../api/payload';
import { WITH_COOKIE, beginBy } from '../api/refresh';
import { useStore } from '../api/store';
import { type Ending, type LogIn as Begun, ending } from '../api/session';
import { graphql } from '../gql';
import { Button, Card, Failure, Field, Form, Notice, Page } from '../ui';
import { t } from '../words';
import { signText } from './wallet';

const LOG_IN = graphql(`
  mutation LogIn($input: LogInInput!) {
    logIn(input: $input) { accessToken expiresAt session { id } user { id username role } userErrors { code field message } }
  }
`);
const LOG_IN_WITH_WALLET = graphql(`
  mutation LogInWithWallet($input: LogInWithWalletInput!) {
    logInWithWallet(input: $input) { accessToken expiresAt session { id } user { id username role } userErrors { code field message } }
  }
`);
const REGISTER = graphql(`
  mutation Register($input: RegisterInput!) { register(input: $input) { user { id } userErrors { code field message } } }
`);

function endingText(why: Ending): string {
  if (why === 'idle') return t('You were logged out because nothing was done for 15 minutes. What you had read was removed.');
  if (why === 'elsewhere') return t('In another tab of this browser somebody logged in: load this page again to go on with that log-in.');
  return why === 'deactivated' ? t('The account is deactivated.') : t('Your log-in is over: log in again.');
}

export function LogIn() {
  const [isNew, setNew] = useState(false);
  const why = useStore(ending);
  return (
    <Page title={isNew ? t('Make an account') : t('Log in')}>
      {why ? <Notice kind="warn">{endingText(why)}</Notice> : null}
      <Card>{isNew ? <Register /> : <WithPassword />}</Card>
      <p className="center">
        <Button kind="quiet" onPress={() => setNew(!isNew)}>{isNew ? t('I have an account') : t('Make an account')}</Button>
        {' '}<a href="./verify.html" target="_blank" rel="noopener">{t('Verify a file')}</a>
        {' '}<Link href="/public">{t('What is on the blockchain')}</Link>
      </p>
    </Page>
  );
}

/** Has a log-in begun; tells where another tab keeps it from being asked for, and whether it is waited for. */
function useBegin() {
  const [error, setError] = useState<CombinedError>();
  const [isBusy, setBusy] = useState(false);
  const begin = async (logIn: () => Promise<Begun | undefined>) => {
    setError(undefined);
    setBusy(true);
    await beginBy(logIn).catch((cause: unknown) => setError(new CombinedError({ networkError: cause instanceof Error ? cause : new Error(String(cause)) })));
    setBusy(false);
  };
  return { kept: error, isBusy, begin };
}

function WithPassword() {
  const [login, setLogin] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [{ fetching, error }, logIn] = useMutation(LOG_IN);
  const { kept, isBusy, begin } = useBegin();
  const needsCode = code !== '' || error?.graphQLErrors[0]?.extensions['code'] === 'SECOND_FACTOR_REQUIRED';
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    await begin(async () => complete((await logIn({ input: { login, password, code: code || null, refreshBy: 'COOKIE' } }, WITH_COOKIE)).data?.logIn));
  };
  return (
    <Form error={error} onSubmit={submit}>
      <Field label={t('User name or e-mail address')} name="login" autoComplete="username" value={login} isRequired onChange={setLogin} />
      <Field label={t('Password')} name="password" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
      {needsCode ? <Field label={t('Code of the second factor')} name="code" inputMode="numeric" autoComplete="one-time-code" value={code} isRequired onChange={setCode} /> : null}
      <Refused error={kept ?? error} />
      <div className="actions">
        <Button type="submit" kind="main" isPending={fetching || isBusy}>{t('Log in')}</Button>
        {window.ethereum ? <WithWallet /> : null}
      </div>
    </Form>
  );
}

function WithWallet() {
  const client = useClient();
  const [{ fetching, error }, logIn] = useMutation(LOG_IN_WITH_WALLET);
  const [wrong, setWrong] = useState<string>();
  const { kept, isBusy, begin } = useBegin();
  const act = async () => {
    setWrong(undefined);
    const signed = await signText(client, 'LOG_IN').catch((cause: unknown) => setWrong(cause instanceof Error ? cause.message : String(cause)));
    if (!signed) return;
    await begin(async () => complete((await logIn({ input: { ...signed, refreshBy: 'COOKIE' } }, WITH_COOKIE)).data?.logInWithWallet));
  };
  return (
    <>
      <Button isPending={fetching || isBusy} onPress={act}>{t('Log in with a wallet')}</Button>
      {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
      <Refused error={kept ?? error} />
    </>
  );
}

function Register() {
  const [username, setUsername] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [{ fetching, error }, register] = useMutation(REGISTER);
  const [loggingIn, logIn] = useMutation(LOG_IN);
  const { kept, isBusy, begin } = useBegin();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const { data } = await register({ input: { username, email, password } });
    if (!data?.register) return;
    await begin(async () => complete((await logIn({ input: { login: username, password, refreshBy: 'COOKIE' } }, WITH_COOKIE)).data?.logIn));
  };
  return (
    <Form error={error} onSubmit={submit}>
      <Field label={t('User name')} name="username" autoComplete="username" value={username} isRequired onChange={setUsername} />
      <Field label={t('E-mail address')} name="email" type="email" autoComplete="email" value={email} isRequired onChange={setEmail} />
      <Field label={t('Password')} name="password" type="password" autoComplete="new-password" value={password} isRequired minLength={12} hint={t('At least 12 characters')} onChange={setPassword} />
      <Refused error={kept ?? error ?? loggingIn.error} />
      <div className="actions"><Button type="submit" kind="main" isPending={fetching || isBusy || loggingIn.fetching}>{t('Make an account')}</Button></div>
    </Form>
  );
}

/** What is wrong; of a page that may not have the cookie, that no other name or password would help. */
function Refused({ error }: { error: CombinedError | undefined }) {
  const isForeign = error?.graphQLErrors[0]?.extensions['code'] === 'FORBIDDEN';
  return isForeign ? <Notice kind="bad">{t('The service lets nobody log in from this address. Tell the operator.')}</Notice> : <Failure error={error} />;
}
