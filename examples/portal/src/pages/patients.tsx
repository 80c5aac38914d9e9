// A doctor's patients, one of them, and emergency access.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { Link, useLocation } from 'wouter';
import { useKept } from '../api/place';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { PurposeOfUse } from '../gql/graphql';
import { Records } from '../records/list';
import { Trends } from '../records/trends';
import { Button, Card, Choice, Confirm, DialogTrigger, Empty, Failure, Field, Form, Loaded, Notice, Page, Pager, Popup, Tag, usePaging } from '../ui';
import { Tabs } from '../ui/tabs';
import { t, time } from '../words';
import { RECORD_TYPES, activity, purpose as purposeWord, recordType, reviewStatus } from '../words/labels';

const PATIENTS = graphql(`
  query Patients($after: Cursor) {
    patients(first: 50, after: $after) {
      nodes { records emergencyUntil patient { id username } permissions { processingActivities recordTypes consentId until } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const WINDOWS = graphql(`
  query Windows { myBreakGlassWindows(first: 20) { nodes { id purpose openedAt expiresAt closedAt isOpen reviewStatus decision doctor { id } patient { id username } } } }
`);
const REDEEM = graphql(`
  mutation RedeemAccessCode($input: RedeemAccessCodeInput!) { redeemAccessCode(input: $input) { consent { id patient { id username } } userErrors { code field message } } }
`);
const BREAK_GLASS = graphql(`
  mutation BreakGlass($input: BreakGlassInput!) { breakGlass(input: $input) { window { id purpose patient { id username } } userErrors { code field message } } }
`);
const END_BREAK_GLASS = graphql(`
  mutation EndBreakGlass($input: EndBreakGlassInput!) { endBreakGlass(input: $input) { window { id isOpen closedAt } userErrors { code field message } } }
`);

export default function Patients() {
  const paging = usePaging();
  const [result] = useQuery({ query: PATIENTS, variables: { after: paging.after } });
  return (
    <Page title={t('Patients')} lead={t('Whoever let you in. You are shown nobody else.')} actions={<BreakGlass />}>
      <Redeem />
      <Card title={t('Who let you in')}>
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.patients ?? undefined }}>
          {(found) => (
            <>
              {found.nodes.length === 0 && !found.pageInfo.hasNextPage ? <Empty>{t('Nobody yet: have a patient tell you a code.')}</Empty> : null}
              <ul className="plain pick">
                {found.nodes.map((each) => (
                  <li key={each.patient.id}>
                    <span>
                      <Link href={`/patients/${each.patient.id}`}>{each.patient.username}</Link> <span className="small">{t('{0} records', each.records)}</span>
                      {each.permissions.map((permission) => (
                        <span className="small besides" key={permission.consentId}>
                          {permission.processingActivities.map(activity).join(', ')} · {permission.recordTypes.length === RECORD_TYPES.length ? t('All records') : permission.recordTypes.map(recordType).join(', ')}{permission.until ? ` · ${t('until {0}', time(permission.until))}` : ''}
                        </span>
                      ))}
                    </span>
                    <Link className="button" href={`/patients/${each.patient.id}/new`} aria-label={t('Write a record for {0}', each.patient.username)}>{t('Write')}</Link>
                  </li>
                ))}
              </ul>
              <Pager of={paging} info={found.pageInfo} />
            </>
          )}
        </Loaded>
      </Card>
      <Windows />
    </Page>
  );
}

function Redeem() {
  const [code, setCode] = useState('');
  const [{ data, error, fetching }, redeem] = useMutation(REDEEM);
  const patient = data?.redeemAccessCode?.consent?.patient;
  return (
    <Card title={t('A patient told you a code')}>
      <Form error={error} className="inline-form" onSubmit={(event) => { event.preventDefault(); void redeem({ input: { code } }); }}>
        <Field label={t('Code')} name="code" value={code} isRequired autoComplete="off" onChange={setCode} />
        <Button type="submit" kind="main" isPending={fetching}>{t('Use the code')}</Button>
      </Form>
      <Failure error={error} />
      {patient ? <Notice kind="good">{t('{0} let you in.', patient.username)} <Link href={`/patients/${patient.id}`}>{t('Open the records')}</Link></Notice> : null}
    </Card>
  );
}

function BreakGlass({ patientId = '' }: { patientId?: string }) {
  const [patient, setPatient] = useState(patientId);
  const [reason, setReason] = useState('');
  const [purpose, setPurpose] = useState<PurposeOfUse>('BTG');
  const [{ error, fetching }, open] = useMutation(BREAK_GLASS);
  const [, go] = useLocation();
  return (
    <DialogTrigger>
      <Button kind="danger">{t('Emergency access …')}</Button>
      <Popup title={t('Emergency access, without consent')}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            const { data } = await open({ input: { patientId: patient.trim(), purpose, reason } });
            const window = data?.breakGlass?.window;
            if (!window) return;
            close();
            go(`/patients/${window.patient.id}/as/${window.purpose}`);
          }}>
            <Notice kind="warn">{t('For four hours. The patient is told at once, and an administrator reviews it.')}</Notice>
            <Field label={t('ID of the patient')} name="patientId" value={patient} isRequired autoComplete="off" onChange={setPatient} />
            <Choice<PurposeOfUse> label={t('What for')} value={purpose} onChange={setPurpose} options={[['BTG', purposeWord('BTG')], ['ETREAT', purposeWord('ETREAT')]]} />
            <Field label={t('Why it cannot wait')} name="reason" rows={3} value={reason} isRequired minLength={20} maxLength={1000} hint={t('20 to 1000 characters; the patient reads it')} onChange={setReason} />
            <Failure error={error} />
            <div className="actions"><Button type="submit" kind="danger" isPending={fetching}>{t('Open the records')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}

function Windows() {
  const [result] = useQuery({ query: WINDOWS });
  const [, end] = useMutation(END_BREAK_GLASS);
  const me = session.get()?.person.id;
  const nodes = result.data?.myBreakGlassWindows?.nodes.filter((each) => each.doctor.id === me) ?? [];
  if (nodes.length === 0) return null;
  return (
    <Card title={t('Your emergency accesses')}>
      <ul className="plain">
        {nodes.map((each) => (
          <li key={each.id} className="between">
            <span>
              {each.isOpen ? <Link href={`/patients/${each.patient.id}/as/${each.purpose}`}>{each.patient.username}</Link> : each.patient.username} <span className="small">{purposeWord(each.purpose)} · {time(each.openedAt)} – {time(each.closedAt ?? each.expiresAt)}</span> <Tag kind={each.isOpen ? 'bad' : 'plain'}>{each.isOpen ? t('open now') : reviewStatus(each.reviewStatus)}</Tag>
            </span>
            {each.isOpen ? <Confirm label={t('End it')} title={t('End the emergency access?')} text={<p>{each.patient.username}</p>} action={async () => (await end({ input: { id: each.id } })).error} /> : null}
          </li>
        ))}
      </ul>
    </Card>
  );
}

export function Patient({ id, purpose }: { id: string; purpose?: PurposeOfUse }) {
  const [tab, setTab] = useKept('tab', 'records');
  const [patients] = useQuery({ query: PATIENTS, variables: { after: null } });
  const name = patients.data?.patients?.nodes.find((each) => each.patient.id === id)?.patient.username;
  const of = { patientId: id, ...(purpose ? { purpose } : {}) };
  return (
    <Page title={name ?? t('Patient')} windowTitle={t('Patient')} lead={<Link className="back" href="/">{t('Patients')}</Link>} actions={purpose ? null : <><Link className="button" href={`/patients/${id}/import`}>{t('Bring records in')}</Link><Link className="button" href={`/patients/${id}/new`}>{t('Write a record')}</Link></>}>
      {purpose ? <Notice kind="bad">{t('Emergency access: {0}. Everything that you open is recorded and reviewed.', purposeWord(purpose))}</Notice> : null}
      <Tabs label={t('Records')} value={tab} onChange={setTab} of={[
        ['records', t('Timeline'), <Records key="records" {...of} />],
        ['trends', t('Trends'), <Trends key="trends" {...of} />],
      ]} />
    </Page>
  );
}
