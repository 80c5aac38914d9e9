// One record: its summary, what it was before, where it is anchored, and the document as it was hashed.
import { Fragment, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { Link, useLocation } from 'wouter';
import { useActing, useOnBehalfOf } from '../api/acting';
import { session } from '../api/session';
import { attachmentsOf } from '../fhir/attachments';
import { prettyJson } from '../fhir/digits';
import type { DeletionRequestType, PurposeOfUse } from '../gql/graphql';
import { Button, Card, Choice, DialogTrigger, Empty, Facts, Failure, Field, Folded, Form, Loaded, Notice, Page, Popup, Tag, Verbatim, save } from '../ui';
import { fhirDate, sentenceLanguage, t, time } from '../words';
import { anchor, closedAs, closing, closingReason, deletionType, recordType, verdict } from '../words/labels';
import { Files } from './files';
import { useNewerVersion } from './follow';
import { ERASE_RECORD, type FoundRecord as Found, HISTORY, RECORD_ACCESS, VERIFY, WITHDRAW_RECORD, remember, useRecord } from './queries';
import { Summary } from './summary';

interface Of {
  id: string;
  purpose?: PurposeOfUse;
}

export default function Record(props: Of) {
  return <Followed key={props.id} {...props} />;
}

/**
 * A record that renews itself: where it was the newest version when it was opened, the next one takes its place. The address, the place on the
 * page and the focus stay. Where a dialog is open, the next version waits until it is asked for: what is done there is about the one that was read.
 */
function Followed({ id, purpose }: Of) {
  const [shown, setShown] = useState(id);
  const result = useRecord(shown, purpose);
  // The next version takes the place of the one before when it is there.
  const last = useRef<Found>(undefined);
  if (result.data?.id === shown) last.current = result.data;
  const record = result.error ? undefined : last.current;
  const newer = useNewerVersion(id, record, () => result.again({ requestPolicy: 'network-only' }));
  const isFollowing = useRef<boolean>(undefined);
  if (record?.id === id && result.isSettled) isFollowing.current ??= record.isCurrent;
  const renew = () => {
    if (!newer || !record) return;
    remember([{ id: newer, recordType: record.recordType }]);
    setShown(newer);
  };
  // Before it is drawn: what waits for nobody is not said to wait.
  useLayoutEffect(() => {
    if (newer && isFollowing.current && !document.querySelector('[role="dialog"], [role="alertdialog"]')) renew();
  }, [newer]);
  const back = () => {
    isFollowing.current = false;
    setShown(id);
  };
  const title = record?.summary?.title ?? (record ? recordType(record.recordType) : t('Record'));
  return (
    <Page title={title} windowTitle={t('Record')} {...(record ? { lead: <Lead of={record} />, actions: <Actions key={record.id} of={record} {...(purpose ? { purpose } : {})} /> } : {})}>
      <News of={record} isRenewed={record !== undefined && record.id !== id} back={back} renew={newer && newer !== shown && isFollowing.current ? renew : undefined} />
      <Loaded of={{ ...result, data: record }}>
        {(found) => (
          <Fragment key={found.id}>
            <States of={found} {...(purpose ? { purpose } : {})} />
            <Card title={t('Summary')}>
              {found.summary ? <Summary of={found.summary} /> : <Empty>{t('There is no summary: read the document.')}</Empty>}
              {found.canonical ? <Folded label={t('The document, as it was hashed')}><Verbatim text={prettyJson(found.canonical)} /></Folded> : null}
            </Card>
            <RecordFiles of={found} {...(purpose ? { purpose } : {})} />
            <Anchor of={found} {...(purpose ? { purpose } : {})} />
            {found.version === 1 && found.isCurrent ? null : <History id={found.id} {...(shown === id ? {} : { opened: { id, show: back } })} {...(purpose ? { purpose } : {})} />}
            {session.get()?.person.id === found.patient.id ? <><WhoSawIt id={found.id} /><Erase of={found} /></> : null}
          </Fragment>
        )}
      </Loaded>
    </Page>
  );
}

/** What has become of the record since it was opened: said aloud when the reader pauses, and shown. */
function News({ of, isRenewed, back, renew }: { of: Found | undefined; isRenewed: boolean; back: () => void; renew: (() => void) | undefined }) {
  const before = useRef<Found>(undefined);
  const [anchored, setAnchored] = useState('');
  useEffect(() => {
    if (!of) return;
    const was = before.current;
    before.current = of;
    if (was && was.id === of.id && was.anchor.state !== of.anchor.state) setAnchored(t('On the blockchain: {0}.', anchor(of.anchor.state)));
  }, [of]);
  const renewed = isRenewed && of ? (of.isWithdrawn ? t('It was marked as entered in error while you had it open. This is version {0}.', of.version) : t('It was amended while you had it open. This is version {0}.', of.version)) : '';
  const waiting = renew ? t('A newer version was stored while you had it open.') : '';
  return (
    <>
      <div className={renewed || waiting ? 'notice warn between' : undefined} data-testid="renewed">
        <span role="status">{waiting || renewed}</span>
        {renew ? <Button onPress={renew}>{t('Show the newer version')}</Button> : renewed ? <Button onPress={back}>{t('Show what you had open')}</Button> : null}
      </div>
      <span className="hidden" role="status">{anchored}</span>
    </>
  );
}

/** What it is, whose and by whom. A doctor goes on to the other records of the patient. */
function Lead({ of }: { of: Found }) {
  const me = session.get()?.person;
  const isOfPatient = useActing() === null && me?.role === 'DOCTOR' && me.id !== of.patient.id;
  const whose = t('of {0}', of.patient.username);
  return (
    <>
      {recordType(of.recordType)} · {fhirDate(of.summary?.date ?? of.effectiveAt ?? of.createdAt)} · {isOfPatient ? <Link href={`/patients/${of.patient.id}`}>{whose}</Link> : whose}
      {of.author ? ` · ${t('by {0}', of.author.username)}` : ''}
    </>
  );
}

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

interface Versioned extends Of {
  opened?: { id: string; show: () => void };
}

/**
 * Its versions. Each of them that is shown is written into the patient's log, so they are asked for when somebody wants to see them. The page is
 * at the address of the one that was opened: no link leads there where another one is shown.
 */
function History(of: Versioned) {
  return <Card title={t('Versions')}><Folded label={t('Show the versions')}><Versions {...of} /></Folded></Card>;
}

function Versions({ id, purpose, opened }: Versioned) {
  const [result] = useQuery({ query: HISTORY, variables: { id, purpose: purpose ?? null, ...useOnBehalfOf() } });
  const found = result.data?.medicalRecord?.history.nodes;
  if (found) remember(found);
  return (
    <Loaded of={{ fetching: result.fetching, error: result.error, data: found }}>
      {(versions) => (
        <ol className="plain">
          {versions.map((version) => (
            <li key={version.id}>
              {version.id === id ? <strong>{t('version {0}', version.version)}</strong> : version.id === opened?.id ? <Button kind="quiet" onPress={opened.show}>{t('version {0}', version.version)}</Button> : <Link href={`/records/${version.id}${suffixOf(purpose)}`}>{t('version {0}', version.version)}</Link>}
              {' '}{time(version.createdAt)} {version.author?.username ?? ''} {version.isWithdrawn ? <Tag kind="bad">{t('entered in error')}</Tag> : null}
              {version.reason ? <span className="small"> {version.reason}</span> : null}
            </li>
          ))}
        </ol>
      )}
    </Loaded>
  );
}

/** Who saw it: looking is written into the log, too, and is asked for when the patient wants to see it. */
function WhoSawIt({ id }: { id: string }) {
  return <Card title={t('Who saw this record')}><Folded label={t('Show who saw it')}><Accesses id={id} /></Folded></Card>;
}

function Accesses({ id }: { id: string }) {
  const [result] = useQuery({ query: RECORD_ACCESS, variables: { id, language: sentenceLanguage() } });
  return (
    <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.medicalRecord?.accessLog ?? undefined }}>
      {(found) => (
        found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : <ul className="plain log">
          {found.nodes.map((entry) => <li key={entry.id}><span className="when">{time(entry.at)}</span> {entry.allowed ? null : <Tag kind="bad">{t('refused')}</Tag>} {entry.sentence}</li>)}
        </ul>
      )}
    </Loaded>
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
