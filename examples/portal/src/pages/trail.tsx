// The audit trail of everybody, for administrators. It names people and things by what the rows say, and never what a record says.
import { useState } from 'react';
import { CombinedError } from '@urql/core';
import { useQuery } from 'urql';
import { download } from '../api/client';
import { useKept } from '../api/place';
import { graphql } from '../gql';
import type { AuditAction, AuditTrailQuery } from '../gql/graphql';
import { Button, Card, Choice, Empty, Facts, Failure, Field, Form, Loaded, Page, Pager, Tag, save, usePaging } from '../ui';
import { AccountChoice, type Chosen } from '../ui/account-choice';
import { country, endOfDay, t, time } from '../words';

const TRAIL = graphql(`
  query AuditTrail($userId: UUID, $filter: AuditLogFilterInput, $after: Cursor) {
    auditLogs(userId: $userId, filter: $filter, first: 30, after: $after) {
      nodes {
        id eventTime actionType resourceType resourceId recordIds oldValue newValue ipAddress userAgent requestId purposeCode consentReference
        dataClassification isCrossBorder destinationCountry encryptionStatus retentionPeriod user { id username } onBehalfOf { id username }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

type Which = 'all' | 'allowed' | 'refused';

interface Asked {
  readonly action: string;
  readonly which: Which;
  readonly from: string;
  readonly to: string;
  readonly user: Chosen | undefined;
  readonly patient: Chosen | undefined;
}

const EVERYTHING: Asked = { action: '', which: 'all', from: '', to: '', user: undefined, patient: undefined };

const startOfDay = (typed: string): string | null => {
  const [year = NaN, month = NaN, date = NaN] = typed.split('-').map(Number);
  const at = new Date(year, month - 1, date);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
};

const filterOf = ({ action, which, from, to, patient }: Asked) => ({
  // What is no action is refused by the service, which says so beside the field.
  actionTypes: action.trim() ? [action.trim().toUpperCase().replaceAll(/[\s-]+/g, '_') as AuditAction] : null,
  allowed: which === 'all' ? null : which === 'allowed',
  from: startOfDay(from),
  to: endOfDay(to) ?? null,
  patientId: patient?.id ?? null,
});

export default function Trail() {
  const [asked, setAsked] = useKept<Asked>('asked', EVERYTHING);
  const [resets, setResets] = useState(0);
  const paging = usePaging(JSON.stringify(asked));
  const [result, again] = useQuery({ query: TRAIL, variables: { userId: asked.user?.id ?? null, filter: filterOf(asked), after: paging.after } });
  return (
    <Page title={t('Audit trail')} lead={t('What everybody did, and what was refused. That you read it is recorded, too.')}>
      <Card title={t('Which rows')} actions={<><Button onPress={() => again({ requestPolicy: 'network-only' })}>{t('Read again')}</Button><Button kind="quiet" onPress={() => { setAsked(EVERYTHING); setResets(resets + 1); }}>{t('All rows')}</Button></>}>
        <Filter key={resets} value={asked} onChange={setAsked} error={result.error} />
        <TakeOut from={asked.from} to={asked.to} />
      </Card>
      <Card title={t('Rows, newest first')}>
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.auditLogs ?? undefined }}>
          {(found) => (
            <>
              {found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : null}
              <ul className="plain log trail">{found.nodes.map((each) => <Row key={each.id} of={each} />)}</ul>
              <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
            </>
          )}
        </Loaded>
      </Card>
    </Page>
  );
}

/** What is typed counts once it is asked for: each reading of the trail is a row of it. */
function Filter({ value, onChange, error }: { value: Asked; onChange: (next: Asked) => void; error: CombinedError | undefined }) {
  const [draft, setDraft] = useState(value);
  const set = (part: Partial<Asked>) => setDraft({ ...draft, ...part });
  return (
    <Form error={error} onSubmit={(event) => { event.preventDefault(); onChange(draft); }}>
      <div className="row">
        <Field type="search" label={t('Action')} name="filter.actionTypes.0" value={draft.action} hint={t('Such as RECORD_READ')} onChange={(action) => set({ action })} />
        <Choice<Which> label={t('Show')} value={draft.which} onChange={(which) => set({ which })} options={[['all', t('Everything')], ['allowed', t('What was permitted')], ['refused', t('What was refused')]]} />
        <Field label={t('From')} name="from" type="date" value={draft.from} onChange={(from) => set({ from })} />
        <Field label={t('To')} name="to" type="date" value={draft.to} onChange={(to) => set({ to })} />
      </div>
      <AccountChoice label={t('Who did it')} name="userId" value={draft.user} onChange={(user) => set({ user })} />
      <AccountChoice label={t('Whose data')} name="patientId" role="PATIENT" value={draft.patient} onChange={(patient) => set({ patient })} />
      <div className="actions"><Button type="submit" kind="main">{t('Show these rows')}</Button></div>
    </Form>
  );
}

/** The rows of these days as FHIR `AuditEvent`s, of everybody. */
function TakeOut({ from, to }: { from: string; to: string }) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<CombinedError>();
  const take = async () => {
    setBusy(true);
    setError(undefined);
    const end = endOfDay(to);
    const query = new URLSearchParams({ of: 'everybody', from: startOfDay(from) ?? '', ...(end ? { to: end } : {}) });
    await download(`audit/export?${query}`).then((file) => save(`audit-${from}.ndjson`, file), (cause: unknown) => setError(cause instanceof CombinedError ? cause : new CombinedError({ networkError: cause as Error })));
    setBusy(false);
  };
  if (!from) return <p className="small besides">{t('Say from which day to take the rows out as a file.')}</p>;
  return (
    <>
      <div className="actions"><Button isPending={isBusy} onPress={take}>{t('Save the rows of these days')}</Button></div>
      <p className="small">{t('As FHIR AuditEvents, of everybody; the other conditions do not count there.')}</p>
      <Failure error={error} />
    </>
  );
}

type RowNode = NonNullable<AuditTrailQuery['auditLogs']>['nodes'][number];

const REFUSED = 'ACCESS_DENIED';
const json = (value: unknown) => (value === null || value === undefined ? null : <code>{JSON.stringify(value)}</code>);
const ids = (of: readonly string[]) => (of.length > 0 ? <code>{of.join(' ')}</code> : null);

function Row({ of }: { of: RowNode }) {
  return (
    <li>
      <span className="when">{time(of.eventTime)}</span>{' '}
      {of.actionType === REFUSED ? <Tag kind="bad">{t('refused')}</Tag> : null}
      {of.isCrossBorder ? <Tag kind="warn">{of.destinationCountry ? country(of.destinationCountry) : t('another country')}</Tag> : null}
      <strong>{of.actionType}</strong> · {of.user.username}{of.onBehalfOf ? ` (${t('for {0}', of.onBehalfOf.username)})` : ''} <span className="small">{of.resourceType} · {of.purposeCode} · {of.ipAddress}</span>
      <details>
        <summary aria-label={t('More of row {0}', of.id)}>{t('More')}</summary>
        <Facts of={[
          [t('Row'), of.id], [t('Thing'), <code key="thing">{of.resourceId}</code>], [t('Records'), ids(of.recordIds)], [t('Consent'), of.consentReference ? <code key="consent">{of.consentReference}</code> : null],
          [t('Before'), json(of.oldValue)], [t('After'), json(of.newValue)], [t('Request'), <code key="request">{of.requestId}</code>], [t('Program'), of.userAgent],
          [t('Sensitivity'), of.dataClassification], [t('Form of the data'), of.encryptionStatus], [t('Kept for'), of.retentionPeriod],
        ]} />
      </details>
    </li>
  );
}
