// The account: password, log-ins, second factor, wallet.
import { type FormEvent, Suspense, lazy, useState } from 'react';
import { useClient, useMutation, useQuery } from 'urql';
import { complete } from '../api/payload';
import { WITH_COOKIE, tellOfEnd } from '../api/refresh';
import { end } from '../api/session';
import { graphql } from '../gql';
import { Button, Card, Confirm, Copyable, DialogTrigger, Facts, Failure, Field, Form, Loaded, Notice, Page, Popup, Tag } from '../ui';
import { t, time } from '../words';
import { role } from '../words/labels';
import { signText } from './wallet';

const QrCode = lazy(() => import('../ui/qr'));

const ME = graphql(`
  query Me { me { id username email role blockchainAddress createdAt organizations { id name } } }
`);
const SESSIONS = graphql(`
  query Sessions { mySessions(first: 50) { nodes { id createdAt lastUsedAt expiresAt ipAddress userAgent isCurrent } } }
`);
const FACTOR = graphql(`
  query SecondFactor { mySecondFactor { isOn confirmedAt recoveryCodesLeft isRequired } }
`);
const WALLETS = graphql(`
  query Wallets { myWallets(first: 20) { nodes { id address chainId provenBy linkedAt unlinkedAt } } }
`);
const CHANGE_PASSWORD = graphql(`
  mutation ChangePassword($input: ChangePasswordInput!) { changePassword(input: $input) { endedSessions userErrors { code field message } } }
`);
const UPDATE = graphql(`
  mutation UpdateProfile($input: UpdateProfileInput!) { updateProfile(input: $input) { user { id username email } userErrors { code field message } } }
`);
const REVOKE = graphql(`
  mutation RevokeSession($input: RevokeSessionInput!) { revokeSession(input: $input) { endedSessions userErrors { code field message } } }
`);
const EVERYWHERE = graphql(`
  mutation LogOutEverywhere { logOutEverywhere { endedSessions } }
`);
const START_FACTOR = graphql(`
  mutation StartSecondFactor($input: StartSecondFactorInput!) { startSecondFactor(input: $input) { uri secret userErrors { code field message } } }
`);
const CONFIRM_FACTOR = graphql(`
  mutation ConfirmSecondFactor($input: ConfirmSecondFactorInput!) { confirmSecondFactor(input: $input) { recoveryCodes userErrors { code field message } } }
`);
const REMOVE_FACTOR = graphql(`
  mutation RemoveSecondFactor($input: RemoveSecondFactorInput!) { removeSecondFactor(input: $input) { secondFactor { isOn } userErrors { code field message } } }
`);
const LINK = graphql(`
  mutation LinkWallet($input: LinkWalletInput!) { linkWallet(input: $input) { wallet { id address } userErrors { code field message } } }
`);
const UNLINK = graphql(`
  mutation UnlinkWallet($input: UnlinkWalletInput!) { unlinkWallet(input: $input) { wallet { id } userErrors { code field message } } }
`);
const DEACTIVATE = graphql(`
  mutation DeactivateAccount($input: DeactivateAccountInput!) { deactivateAccount(input: $input) { userErrors { code field message } } }
`);

export default function Account() {
  const [me] = useQuery({ query: ME });
  return (
    <Page title={t('Account')}>
      <Card title={t('About you')}>
        <Loaded of={{ fetching: me.fetching, error: me.error, data: me.data?.me ?? undefined }}>
          {(found) => (
            <Facts of={[
              [t('User name'), found.username], [t('E-mail address'), found.email], [t('Role'), role(found.role)], [t('Since'), time(found.createdAt)],
              [t('Organisations'), found.organizations.map((each) => each.name).join(', ')], ['ID', <Copyable key="id" text={found.id} label={t('Copy your ID')} />],
            ]} />
          )}
        </Loaded>
        <Profile />
        <Password />
      </Card>
      <Sessions />
      <SecondFactorCard />
      <WalletCard />
      <Leave />
    </Page>
  );
}

/** What is left empty stays as it is. */
function Profile() {
  const [username, setUsername] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [{ data, error, fetching }, update] = useMutation(UPDATE);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void update({ input: { currentPassword: password, username: username.trim() || null, email: email.trim() || null } });
  };
  return (
    <details>
      <summary>{t('Change the name or the e-mail address')}</summary>
      <Form error={error} onSubmit={submit}>
        <div className="row">
          <Field label={t('User name')} name="username" value={username} onChange={setUsername} />
          <Field label={t('E-mail address')} name="email" type="email" value={email} onChange={setEmail} />
          <Field label={t('Password now')} name="currentPassword" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
        </div>
        {data?.updateProfile && !error ? <Notice kind="good">{t('It is changed.')}</Notice> : null}
        <Failure error={error} />
        <div className="actions"><Button type="submit" isPending={fetching} isDisabled={!username.trim() && !email.trim()}>{t('Change them')}</Button></div>
      </Form>
    </details>
  );
}

function Password() {
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [{ data, error, fetching }, change] = useMutation(CHANGE_PASSWORD);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void change({ input: { currentPassword: current, newPassword: next } });
  };
  return (
    <details>
      <summary>{t('Change the password')}</summary>
      <Form error={error} onSubmit={submit}>
        <div className="row">
          <Field label={t('Password now')} name="currentPassword" type="password" autoComplete="current-password" value={current} isRequired onChange={setCurrent} />
          <Field label={t('New password')} name="newPassword" type="password" autoComplete="new-password" value={next} isRequired minLength={12} hint={t('At least 12 characters')} onChange={setNext} />
        </div>
        {data?.changePassword ? <Notice kind="good">{t('It is changed. Other log-ins that were ended: {0}.', data.changePassword.endedSessions ?? 0)}</Notice> : null}
        <Failure error={error} />
        <div className="actions"><Button type="submit" isPending={fetching}>{t('Change it')}</Button></div>
      </Form>
    </details>
  );
}

function Sessions() {
  const [result] = useQuery({ query: SESSIONS });
  const [, revoke] = useMutation(REVOKE);
  const [, everywhere] = useMutation(EVERYWHERE);
  return (
    <Card title={t('Log-ins')} actions={<Confirm kind="quiet" label={t('Log out everywhere')} title={t('Log out everywhere?')} text={<p>{t('Here, too.')}</p>} action={async () => {
      const { error } = await everywhere({}, WITH_COOKIE);
      if (!error) await end();
      return error;
    }} />}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.mySessions ?? undefined }}>
        {(found) => (
          <ul className="plain">
            {found.nodes.map((each) => (
              <li key={each.id} className="between">
                <span>{each.isCurrent ? <Tag kind="good">{t('this one')}</Tag> : null} {each.ipAddress ?? '–'} <span className="small">{each.userAgent ?? ''} · {t('last used {0}', time(each.lastUsedAt))}</span></span>
                {each.isCurrent ? null : <Confirm kind="danger" label={t('End it')} title={t('End this log-in?')} text={<p>{each.ipAddress}</p>} action={async () => (await revoke({ input: { id: each.id } })).error} />}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}

function SecondFactorCard() {
  const [result, again] = useQuery({ query: FACTOR });
  const [started, start] = useMutation(START_FACTOR);
  const [confirmed, confirm] = useMutation(CONFIRM_FACTOR);
  const [removed, remove] = useMutation(REMOVE_FACTOR);
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const factor = result.data?.mySecondFactor;
  const begun = complete(started.data?.startSecondFactor);
  const codes = confirmed.data?.confirmSecondFactor?.recoveryCodes;
  const reload = () => again({ requestPolicy: 'network-only' });
  return (
    <Card title={t('Second factor')}>
      <p>{factor?.isOn ? <><Tag kind="good">{t('on')}</Tag> {t('{0} recovery codes are left.', factor.recoveryCodesLeft)}</> : <Tag kind="warn">{t('off')}</Tag>} {factor?.isRequired ? t('The operator asks for one of your role.') : ''}</p>
      {codes ? (
        <Notice kind="good">
          <p>{t('It is on. Write these recovery codes down: they are shown only now.')}</p>
          <ul className="codes">{codes.map((each) => <li key={each}><code>{each}</code></li>)}</ul>
        </Notice>
      ) : null}
      <Failure error={started.error ?? confirmed.error ?? removed.error} />
      {!factor?.isOn && !begun ? (
        <Form error={started.error} onSubmit={(event) => { event.preventDefault(); void start({ input: { password } }); }}>
          <Field label={t('Password')} name="password" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
          <div className="actions"><Button type="submit" isPending={started.fetching}>{t('Set it up')}</Button></div>
        </Form>
      ) : null}
      {begun && !codes && !factor?.isOn ? (
        <Form error={confirmed.error} onSubmit={async (event) => { event.preventDefault(); if ((await confirm({ input: { code } })).data?.confirmSecondFactor) reload(); }}>
          <p>{t('Scan this with your authenticator app, open it there, or type the secret:')}</p>
          <Suspense fallback={<div className="qr" />}><QrCode text={begun.uri} label={t('QR code with the secret, for an authenticator app')} /></Suspense>
          <p><a href={begun.uri}>{t('open')}</a> <code data-testid="secret">{begun.secret}</code></p>
          <Field label={t('The six digits that it shows')} name="code" inputMode="numeric" autoComplete="one-time-code" value={code} isRequired onChange={setCode} />
          <div className="actions"><Button type="submit" kind="main" isPending={confirmed.fetching}>{t('Turn it on')}</Button></div>
        </Form>
      ) : null}
      {factor?.isOn ? (
        <details>
          <summary>{t('Turn it off')}</summary>
          <Form error={removed.error} onSubmit={async (event) => { event.preventDefault(); if ((await remove({ input: { password, code: code || null } })).data?.removeSecondFactor) reload(); }}>
            <div className="row">
              <Field label={t('Password')} name="password" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
              <Field label={t('Code of the second factor')} name="code" inputMode="numeric" value={code} isRequired onChange={setCode} />
            </div>
            <div className="actions"><Button type="submit" kind="danger" isPending={removed.fetching}>{t('Turn it off')}</Button></div>
          </Form>
        </details>
      ) : null}
    </Card>
  );
}

/** The records stay, and so do the consents: whoever wants them erased asks for that under their data. */
function Leave() {
  const [password, setPassword] = useState('');
  const [{ error, fetching }, deactivate] = useMutation(DEACTIVATE);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!(await deactivate({ input: { currentPassword: password } })).data?.deactivateAccount) return;
    // Its log-ins are ended by that; the cookie is left to be taken away.
    await end('deactivated', false);
    await tellOfEnd().catch(() => {});
  };
  return (
    <Card title={t('Leaving')} actions={(
      <DialogTrigger>
        <Button kind="danger">{t('Deactivate the account …')}</Button>
        <Popup title={t('Deactivate your account?')} role="alertdialog">
          {(close) => (
            <Form error={error} onSubmit={submit}>
              <p>{t('You are logged out everywhere, and nobody can log in with it until an administrator makes it active again. Records and consents stay as they are: to have them erased, or to take access away, do that before.')}</p>
              <Field label={t('Password')} name="currentPassword" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
              <Failure error={error} />
              <div className="actions"><Button type="submit" kind="danger" isPending={fetching}>{t('Deactivate it')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
            </Form>
          )}
        </Popup>
      </DialogTrigger>
    )}>
      <p>{t('An account that nobody needs can be deactivated. Nothing is erased by that.')}</p>
    </Card>
  );
}

function WalletCard() {
  const [result, again] = useQuery({ query: WALLETS });
  const linked = result.data?.myWallets?.nodes.find((each) => !each.unlinkedAt);
  return (
    <Card title={t('Wallet')} actions={<LinkOrUnlink isLinked={Boolean(linked)} done={() => again({ requestPolicy: 'network-only' })} />}>
      <p>{t('With a linked wallet you can log in, sign consents, and prove who you are when something is to be erased.')}</p>
      {window.ethereum || linked ? null : <Notice>{t('This browser has no wallet.')}</Notice>}
      <ul className="plain">
        {result.data?.myWallets?.nodes.map((each) => <li key={each.id}><code>{each.address}</code> <span className="small">{t('chain {0}', each.chainId)} · {time(each.linkedAt)}{each.unlinkedAt ? ` – ${time(each.unlinkedAt)}` : ''}</span></li>)}
      </ul>
    </Card>
  );
}

function LinkOrUnlink({ isLinked, done }: { isLinked: boolean; done: () => void }) {
  const client = useClient();
  const [linking, link] = useMutation(LINK);
  const [unlinking, unlink] = useMutation(UNLINK);
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [wrong, setWrong] = useState<string>();
  const label = isLinked ? t('Unlink the wallet') : t('Link a wallet');
  const act = async (close: () => void) => {
    const proof = { password, code: code || null };
    if (isLinked) {
      if ((await unlink({ input: proof })).error) return;
    } else {
      const signed = await signText(client, 'LINK').catch((cause: unknown) => setWrong(cause instanceof Error ? cause.message : String(cause)));
      if (!signed || (await link({ input: { ...signed, ...proof } })).error) return;
    }
    close();
    done();
  };
  return (
    <DialogTrigger>
      <Button isDisabled={!isLinked && !window.ethereum}>{label}</Button>
      <Popup title={label}>
        {(close) => (
          <Form error={linking.error ?? unlinking.error} onSubmit={(event) => { event.preventDefault(); void act(close); }}>
            <Field label={t('Password')} name="password" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
            <Field label={t('Code of the second factor')} name="code" inputMode="numeric" value={code} onChange={setCode} />
            {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
            <Failure error={linking.error ?? unlinking.error} />
            <div className="actions"><Button type="submit" kind="main" isPending={linking.fetching || unlinking.fetching}>{label}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}
