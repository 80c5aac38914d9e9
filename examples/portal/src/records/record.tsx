// One record: its summary, what it was before, where it is anchored, and the document as it was hashed.
import { useMemo, useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { Link, useLocation } from 'wouter';
import { useActing, useOnBehalfOf } from '../api/acting';
import { session } from '../api/session';
import { attachmentsOf } from '../fhir/attachments';
import { prettyJson } from '../fhir/digits';
import type { DeletionRequestType, PurposeOfUse } from '../gql/graphql';
import { Button, Card, Choice, DialogTrigger, Empty, Facts, Failure, Field, Form, Loaded, Notice, Page, Popup, Tag, save } from '../ui';
import { fhirDate, t, time } from '../words';
import { anchor, closedAs, closing, closingReason, deletionType, recordType, verdict } from '../words/labels';
import { Files } from './files';
import { ERASE_RECORD, type FoundRecord as Found, HISTORY, RECORD_ACCESS, VERIFY, WITHDRAW_RECORD, useRecord } from './queries';
import { Folded, Summary } from './summary';

export default function Record({ id, purpose }: { id: string; purpose?: PurposeOfUse }) {
  const result = useRecord(id, purpose);
  const record = result.data;
  const title = record?.summary?.title ?? (record ? recordType(record.recordType) : t('Record'));
  return (
    <Page key={id} title={title} windowTitle={t('Record')} {...(record ? { lead: lead(record), actions: <Actions of={record} {...(purpose ? { purpose } : {})} /> } : {})}>
      <Loaded of={result}>
        {(found) => (
          <>
            <States of={found} {...(purpose ? { purpose } : {})} />
            <Card title={t('Summary')}>
              {found.summary ? <Summary of={found.summary} /> : <Empty>{t('There is no summary: read the document.')}</Empty>}
              {found.canonical ? <Folded label={t('The document, as it was hashed')} text={prettyJson(found.canonical)} /> : null}
            </Card>
            <RecordFiles of={found} {...(purpose ? { purpose } : {})} />
            <Anchor of={found} {...(purpose ? { purpose } : {})} />
            <History id={found.id} {...(purpose ? { purpose } : {})} />
            {session.get()?.person.id === found.patient.id ? <><WhoSawIt id={found.id} /><Erase of={found} /></> : null}
          </>
        )}
      </Loaded>
    </Page>
  );
}

const lead = (record: Found) => (
  <>
    {recordType(record.recordType)} · {fhirDate(record.summary?.date ?? record.effectiveAt ?? record.createdAt)} · {t('of {0}', record.patient.username)}
    {record.author ? ` · ${t('by {0}', record.author.username)}` : ''}
  </>
);

const suffixOf = (purpose: PurposeOfUse | undefined): string => (purpose ? `/as/${purpose}` : '');

function States({ of, purpose }: { of: Found; purpose?: PurposeOfUse }) {
  return (
    <>
      {of.isWithdrawn ? <Notice kind="bad"><strong>{t('Entered in error: do not rely on it.')}</strong></Notice> : null}
      {of.isCurrent ? null : (
        <Notice kind="warn">
          {t('A newer version took its place.')} {of.successor ? <Link href={`/records/${of.successor.id}${suffixOf(purpose)}`}>{t('Open it')}</Link> : null}
        </Notice>
      )}
      {of.reason ? <Notice>{t('Why this version was written: {0}', of.reason)}</Notice> : null}
      {of.missing.length > 0 ? <Notice kind="warn">{t('The document leaves open: {0}', of.missing.join(', '))}</Notice> : null}
    </>
  );
}

/** Whether the person may write a next version; of what they have, the api decides. Nobody does for somebody else. */
function useMayWrite(of: Found): boolean {
  const me = session.get()?.person;
  const isActing = useActing() !== null;
  return !isActing && of.isCurrent && !of.isWithdrawn && (me?.role === 'DOCTOR' || me?.id === of.author?.id);
}

function RecordFiles({ of, purpose }: { of: Found; purpose?: PurposeOfUse }) {
  const files = useMemo(() => (of.canonical ? attachmentsOf(of.canonical) : []), [of.canonical]);
  const mayWrite = useMayWrite(of);
  const isActing = useActing()?.activities.has('CREATE_RECORDS') ?? false;
  return <Files files={files} record={of.id} maySend={mayWrite || isActing} {...(purpose ? { purpose } : {})} />;
}

function Actions({ of, purpose }: { of: Found; purpose?: PurposeOfUse }) {
  const mayWrite = useMayWrite(of);
  const { canonical } = of;
  return (
    <>
      {canonical ? <Button onPress={() => save(`record-${of.id}.json`, new Blob([canonical], { type: 'application/json' }))}>{t('Save the file')}</Button> : null}
      {mayWrite ? <Link className="button" href={`/records/${of.id}/amend${suffixOf(purpose)}`}>{t('Amend')}</Link> : null}
      {mayWrite ? <Withdraw of={of} {...(purpose ? { purpose } : {})} /> : null}
    </>
  );
}

function Withdraw({ of, purpose }: { of: Found; purpose?: PurposeOfUse }) {
  const [reason, setReason] = useState('');
  const [{ fetching, error }, withdraw] = useMutation(WITHDRAW_RECORD);
  const [, go] = useLocation();
  return (
    <DialogTrigger>
      <Button kind="danger">{t('Entered in error …')}</Button>
      <Popup title={t('Mark it as entered in error?')}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            const { data } = await withdraw({ input: { id: of.id, expectedVersion: of.version, reason, purpose: purpose ?? null } });
            const last = data?.withdrawMedicalRecord?.record;
            if (!last) return;
            close();
            go(`/records/${last.id}${suffixOf(purpose)}`);
          }}>
            <p>{t('A last version is stored that says so. What was there before stays readable.')}</p>
            <Field label={t('Why?')} name="reason" value={reason} isRequired hint={t('10 to 500 characters, kept with the record')} onChange={setReason} />
            <Failure error={error} />
            <div className="actions">
              <Button type="submit" kind="danger" isPending={fetching} isDisabled={reason.trim().length < 10}>{t('Mark it')}</Button>
              <Button onPress={close}>{t('Do nothing')}</Button>
            </div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}

function Anchor({ of, purpose }: { of: Found; purpose?: PurposeOfUse }) {
  const [isAsked, setAsked] = useState(false);
  const [result, again] = useQuery({ query: VERIFY, variables: { id: of.id, purpose: purpose ?? null, ...useOnBehalfOf() }, pause: !isAsked, requestPolicy: 'network-only' });
  const verified = result.data?.verifyRecord;
  return (
    <Card title={t('On the blockchain')} actions={<Button isPending={isAsked && result.fetching} onPress={() => (isAsked ? again() : setAsked(true))}>{t('Compare now')}</Button>}>
      {isAsked ? <Failure error={result.error} /> : null}
      {verified ? (
        <Notice kind={verified.verdict === 'VERIFIED' ? 'good' : verified.verdict === 'PENDING' || verified.verdict === 'SUPERSEDED' ? 'warn' : 'bad'}>
          <strong data-verdict={verified.verdict}>{verdict(verified.verdict)}</strong> {time(verified.checkedAt)}
        </Notice>
      ) : null}
      <Facts of={[
        [t('Anchor'), anchor(of.anchor.state)],
        [t('Block'), of.anchor.blockNumber],
        [t('Transaction'), <code key="tx">{of.anchor.txHash}</code>],
        ['SHA-256', <code key="hash">{of.dataHash}</code>],
        [t('Found in a block'), of.anchor.confirmedAt ? time(of.anchor.confirmedAt) : null],
        [t('Closed as'), of.anchor.closing ? `${closedAs(of.anchor.closing.status)} (${closingReason(of.anchor.closing.reason)}, ${closing(of.anchor.closing.state)})` : null],
      ]} />
      <p className="small">
        {t('To trust nothing of ours: save the file, and compare it by a node of your choice.')} <a href="./verify.html" target="_blank" rel="noopener">{t('Verify a file')}</a>
      </p>
    </Card>
  );
}

function History({ id, purpose }: { id: string; purpose?: PurposeOfUse }) {
  const [result] = useQuery({ query: HISTORY, variables: { id, purpose: purpose ?? null, ...useOnBehalfOf() } });
  const versions = result.data?.medicalRecord?.history.nodes;
  if (!versions || versions.length < 2) return null;
  return (
    <Card title={t('Versions')}>
      <ol className="plain">
        {versions.map((version) => (
          <li key={version.id}>
            {version.id === id ? <strong>{t('version {0}', version.version)}</strong> : <Link href={`/records/${version.id}${suffixOf(purpose)}`}>{t('version {0}', version.version)}</Link>}
            {' '}{time(version.createdAt)} {version.author?.username ?? ''} {version.isWithdrawn ? <Tag kind="bad">{t('entered in error')}</Tag> : null}
            {version.reason ? <span className="small"> {version.reason}</span> : null}
          </li>
        ))}
      </ol>
    </Card>
  );
}

function WhoSawIt({ id }: { id: string }) {
  const [result] = useQuery({ query: RECORD_ACCESS, variables: { id } });
  const log = result.data?.medicalRecord?.accessLog;
  return (
    <Card title={t('Who saw this record')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: log ?? undefined }}>
        {(found) => (
          found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : <ul className="plain log">
            {found.nodes.map((entry) => <li key={entry.id}><span className="when">{time(entry.at)}</span> {entry.allowed ? null : <Tag kind="bad">{t('refused')}</Tag>} {entry.sentence}</li>)}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}

/** Begins what `My data` goes on with. */
function Erase({ of }: { of: Found }) {
  const [type, setType] = useState<DeletionRequestType>('RECORD_ERASURE');
  const [{ fetching, error }, request] = useMutation(ERASE_RECORD);
  const [, go] = useLocation();
  return (
    <p>
      <DialogTrigger>
        <Button kind="danger">{t('Have it erased …')}</Button>
        <Popup title={t('Have this record erased?')}>
          {(close) => (
            <>
              <p>{t('All of its versions. You prove who you are on the next page, and administrators decide.')}</p>
              <Choice<DeletionRequestType> label={t('What')} value={type} onChange={setType} options={(['RECORD_ERASURE', 'RESTRICTION'] as const).map((each) => [each, each === 'RECORD_ERASURE' ? t('Erase this record') : deletionType(each)] as const)} />
              <Failure error={error} />
              <div className="actions">
                <Button
                  kind="danger"
                  isPending={fetching}
                  onPress={async () => {
                    const { data } = await request({ input: { requestType: type, recordIds: [of.id] } });
                    if (!data?.requestDataDeletion) return;
                    close();
                    go('/data');
                  }}
                >
                  {t('Ask for it')}
                </Button>
                <Button onPress={close}>{t('Do nothing')}</Button>
              </div>
            </>
          )}
        </Popup>
      </DialogTrigger>
    </p>
  );
}
