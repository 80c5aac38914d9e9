// Taking out everything, and having it erased: ask, prove who you are, wait for the decision, read the certificate.
import type { CombinedError } from '@urql/core';
import { useEffect, useState } from 'react';
import { useClient, useMutation, useQuery } from 'urql';
import { download } from '../api/client';
import { complete } from '../api/payload';
import { graphql } from '../gql';
import type { DataCategory, DataDeletionRequest, DeletionRequestType, VerifyDeletionRequestInput } from '../gql/graphql';
import { Button, Card, Choice, Choices, Confirm, Copyable, DialogTrigger, Empty, Failure, Field, Form, Loaded, Notice, Page, Popup, Table, Tag, save } from '../ui';
import { day, t, time } from '../words';
import { RECORD_TYPES, dataCategory, deletionStatus, deletionType, recordType } from '../words/labels';
import { signTypedData } from './wallet';

const EXPORT = graphql(`
  query ExportMyData { exportMyData { path sections { name description count } } }
`);
graphql(`
  fragment DeletionParts on DataDeletionRequest {
    id requestType status dataCategories recordIds reason requestedAt verifiedAt scheduledFor completedAt verificationMethod
    firstApprovalBy secondApprovalBy overridesRetention
    scope { recordType records withinRetention keptUntil }
    subject { id username }
  }
`);
const REQUESTS = graphql(`
  query DeletionRequests { dataDeletionRequests(first: 50) { nodes { ...DeletionParts } } }
`);
const REQUEST = graphql(`
  mutation RequestDeletion($input: RequestDataDeletionInput!) { requestDataDeletion(input: $input) { request { ...DeletionParts } userErrors { code field message } } }
`);
const PROVE = graphql(`
  mutation VerifyDeletion($input: VerifyDeletionRequestInput!) { verifyDeletionRequest(input: $input) { request { ...DeletionParts } claimCode userErrors { code field message } } }
`);
const CHALLENGE = graphql(`
  mutation DeletionChallenge($input: DeletionChallengeInput!) { deletionChallenge(input: $input) { typedData wallet expiresAt userErrors { code field message } } }
`);
const CANCEL = graphql(`
  mutation CancelDeletion($input: CancelDeletionInput!) { cancelDeletion(input: $input) { request { ...DeletionParts } userErrors { code field message } } }
`);
const CERTIFICATE = graphql(`
  query Certificate($id: UUID!) { deletionCertificate(id: $id) { document sha256 issuedAt } }
`);

export default function MyData() {
  return (
    <Page title={t('My data')} lead={t('Take everything out, or have it erased.')}>
      <Export />
      <Ask />
      <Requests />
    </Page>
  );
}

function Export() {
  const [result] = useQuery({ query: EXPORT });
  const [state, setState] = useState<'idle' | 'busy' | 'failed'>('idle');
  const take = async (path: string) => {
    setState('busy');
    try {
      save('my-data.tar', await download(path));
      setState('idle');
    } catch {
      setState('failed');
    }
  };
  return (
    <Card title={t('Take everything out')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.exportMyData ?? undefined }}>
        {(found) => (
          <>
            <p>{t('Documents, consents, who saw what with proofs, and all that is known about your account, in one archive.')}</p>
            <details>
              <summary>{t('What is in it')}</summary>
              <Table caption={t('What is in it')} head={[t('Part'), t('How many'), t('What it is')]} rows={found.sections.map((each) => ({ key: each.name, cells: [each.name, each.count, each.description] }))} />
            </details>
            {state === 'failed' ? <Notice kind="bad">{t('The archive could not be taken out: try again.')}</Notice> : null}
            <div className="actions"><Button kind="main" isPending={state === 'busy'} onPress={() => take(found.path)}>{t('Save the archive')}</Button></div>
          </>
        )}
      </Loaded>
    </Card>
  );
}

function Ask() {
  const [type, setType] = useState<DeletionRequestType>('CATEGORY_ERASURE');
  const [categories, setCategories] = useState<DataCategory[]>([]);
  const [{ fetching, error }, request] = useMutation(REQUEST);
  const [isAsked, setAsked] = useState(false);
  const isWhole = type === 'ACCOUNT_ERASURE';
  const ask = async () => {
    const { data } = await request({ input: { requestType: type, dataCategories: isWhole ? null : categories } });
    setAsked(Boolean(data?.requestDataDeletion));
  };
  return (
    <Card title={t('Have it erased')}>
      <ol className="steps">
        <li>{t('You ask.')}</li><li>{t('You prove who you are.')}</li><li>{t('Administrators decide; an account takes two of them.')}</li><li>{t('Some days are left to take it back.')}</li><li>{t('It is erased, and you get a certificate.')}</li>
      </ol>
      <Choice<DeletionRequestType> label={t('What')} value={type} onChange={setType} options={(['CATEGORY_ERASURE', 'ACCOUNT_ERASURE', 'RESTRICTION'] as const).map((each) => [each, deletionType(each)] as const)} />
      {isWhole ? <Notice kind="warn">{t('Nobody can bring it back. Take everything out first.')}</Notice> : (
        <Choices<DataCategory> label={t('Which records')} value={categories} onChange={setCategories} options={RECORD_TYPES.map((each) => [each, recordType(each)] as const)} />
      )}
      <Failure error={error} />
      {isAsked ? <Notice kind="good">{t('Your request is below: prove who you are within 7 days.')}</Notice> : null}
      <div className="actions"><Button kind="danger" isPending={fetching} isDisabled={!isWhole && categories.length === 0} onPress={ask}>{t('Ask for it')}</Button></div>
    </Card>
  );
}

function Requests() {
  const [result, again] = useQuery({ query: REQUESTS });
  // What was read last stays when reading again fails: a claim code stands in it that is shown only once.
  const fresh = result.data?.dataDeletionRequests?.nodes;
  const [kept, setKept] = useState(fresh);
  if (fresh && fresh !== kept) setKept(fresh);
  const nodes = fresh ?? kept;
  const isMoving = nodes?.some((each) => ['UNDER_REVIEW', 'APPROVED', 'SCHEDULED', 'EXECUTING', 'PARTIALLY_APPROVED'].includes(each.status));
  // Nothing tells of a decision: while one is awaited, a page that is looked at asks again.
  useEffect(() => {
    if (!isMoving) return undefined;
    const timer = setInterval(() => document.visibilityState === 'visible' && again({ requestPolicy: 'network-only' }), 5_000);
    return () => clearInterval(timer);
  }, [isMoving, again]);
  return (
    <Card title={t('Your requests')} actions={<Button onPress={() => again({ requestPolicy: 'network-only' })}>{t('Read again')}</Button>}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: nodes }}>
        {(found) => (found.length === 0 ? <Empty>{t('There is no request.')}</Empty> : <ul className="plain requests">{found.map((each) => <RequestItem key={each.id} of={each as DataDeletionRequest} />)}</ul>)}
      </Loaded>
    </Card>
  );
}

export function Scope({ of }: { of: DataDeletionRequest['scope'] }) {
  if (of.length === 0) return null;
  return (
    <ul className="small">
      {of.map((each) => (
        <li key={each.recordType}>
          {recordType(each.recordType)}: {each.records}{each.withinRetention > 0 ? `, ${t('{0} of them are to be kept until {1}', each.withinRetention, day(each.keptUntil))}` : ''}
        </li>
      ))}
    </ul>
  );
}

function RequestItem({ of }: { of: DataDeletionRequest }) {
  const [, cancel] = useMutation(CANCEL);
  const [claimCode, setClaimCode] = useState<string>();
  const isPending = of.status === 'PENDING';
  const canCancel = !['COMPLETED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'EXECUTING'].includes(of.status) || (of.requestType === 'RESTRICTION' && of.status === 'COMPLETED');
  return (
    <li data-status={of.status}>
      <p>
        <strong>{deletionType(of.requestType)}</strong> {of.dataCategories.map(dataCategory).join(', ')} <Tag kind={of.status === 'COMPLETED' ? 'good' : isPending ? 'warn' : 'plain'}>{deletionStatus(of.status)}</Tag>
        <span className="small"> {time(of.requestedAt)}{of.scheduledFor ? ` · ${t('from {0}', time(of.scheduledFor))}` : ''}{of.completedAt ? ` · ${time(of.completedAt)}` : ''}</span>
      </p>
      {of.reason ? <p className="small">{t('Reason')}: {of.reason}</p> : null}
      <Scope of={of.scope} />
      {claimCode ? (
        <Notice kind="warn">
          {t('Keep this code: once your account is erased, you get the certificate with it on the public page. It is shown only now.')}{' '}
          <Copyable text={claimCode} label={t('Claim code')} />
        </Notice>
      ) : null}
      <div className="actions">
        {isPending ? <Prove id={of.id} onProven={setClaimCode} /> : null}
        {of.status === 'COMPLETED' ? <Certificate id={of.id} /> : null}
        {canCancel ? <Confirm kind="quiet" label={t('Take it back')} title={t('Take the request back?')} text={<p>{deletionType(of.requestType)}</p>} action={async () => (await cancel({ input: { id: of.id } })).error} /> : null}
      </div>
    </li>
  );
}

function Prove({ id, onProven }: { id: string; onProven: (claimCode: string | undefined) => void }) {
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [error, setError] = useState<CombinedError>();
  const [wrong, setWrong] = useState<string>();
  const [{ fetching }, prove] = useMutation(PROVE);
  const client = useClient();
  const proven = async (input: VerifyDeletionRequestInput, close: () => void) => {
    const answer = await prove({ input });
    setError(answer.error);
    if (answer.error) return;
    onProven(answer.data?.verifyDeletionRequest?.claimCode ?? undefined);
    close();
  };
  const withWallet = async (close: () => void) => {
    const asked = await client.mutation(CHALLENGE, { input: { id } }).toPromise();
    setError(asked.error);
    const challenge = complete(asked.data?.deletionChallenge);
    if (!challenge) return;
    const signature = await signTypedData(challenge.typedData, challenge.wallet).catch((cause: unknown) => setWrong(cause instanceof Error ? cause.message : String(cause)));
    if (!signature) return;
    await proven({ id, signature, code: code || null }, close);
  };
  return (
    <DialogTrigger>
      <Button kind="main">{t('Prove who you are')}</Button>
      <Popup title={t('Prove who you are')}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            await proven({ id, currentPassword: password, code: code || null }, close);
          }}>
            <Field label={t('Password')} name="currentPassword" type="password" autoComplete="current-password" value={password} isRequired onChange={setPassword} />
            <Field label={t('Code of the second factor')} name="code" inputMode="numeric" autoComplete="one-time-code" value={code} onChange={setCode} />
            {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
            <Failure error={error} />
            <div className="actions">
              <Button type="submit" kind="main" isPending={fetching}>{t('Prove it')}</Button>
              {window.ethereum ? <Button onPress={() => withWallet(close)}>{t('Sign with the wallet')}</Button> : null}
              <Button onPress={close}>{t('Do nothing')}</Button>
            </div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}

function Certificate({ id }: { id: string }) {
  const [result] = useQuery({ query: CERTIFICATE, variables: { id } });
  const certificate = result.data?.deletionCertificate;
  if (!certificate) return null;
  return <Button onPress={() => save(`certificate-${id}.json`, new Blob([certificate.document], { type: 'application/json' }))}>{t('Save the certificate')}</Button>;
}
