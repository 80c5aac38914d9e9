// The pages of a patient for whom the person acts: what the representation lets them do, and nothing else.
import type { CombinedError } from '@urql/core';
import { type ReactNode, lazy, useMemo, useState } from 'react';
import { useQuery } from 'urql';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { type Acting, ActingFor, useActing } from '../api/acting';
import { download } from '../api/client';
import { useKept } from '../api/place';
import { Button, Failure, Loaded, Notice, Page, save } from '../ui';
import { Tabs } from '../ui/tabs';
import { type English, t, time } from '../words';
import { relationship } from '../words/labels';
import { PEOPLE } from './representatives-queries';

const Access = lazy(() => import('./access'));
const Entries = lazy(() => import('./log').then((module) => ({ default: module.Entries })));
const NewRecord = lazy(() => import('../records/write').then((module) => ({ default: module.NewRecord })));
const Record = lazy(() => import('../records/record'));
const Records = lazy(() => import('../records/list').then((module) => ({ default: module.Records })));
const Trends = lazy(() => import('../records/trends').then((module) => ({ default: module.Trends })));

export default function Represented({ id }: { id: string }) {
  const [result] = useQuery({ query: PEOPLE, variables: { after: null } });
  const nodes = result.data?.peopleIRepresent?.nodes;
  const mine = useMemo(() => nodes?.filter((each) => each.patient.id === id && each.isInForce), [nodes, id]);
  const acting = useMemo<Acting | undefined>(() => {
    const [first] = mine ?? [];
    return first && { patient: first.patient, activities: new Set((mine ?? []).flatMap((each) => each.activities)) };
  }, [mine]);
  return (
    <Loaded of={{ fetching: result.fetching, error: result.error, data: nodes && (acting ?? null) }}>
      {(found) => (found ? (
        <ActingFor value={found}>
          <div className="acting">
            <p role="status">
              {t('You act for {0}', found.patient.username)} ({mine?.map((each) => `${relationship(each.relationship)}, ${t('until {0}', time(each.validUntil))}`).join('; ')}). <Link href="~/representatives">{t('Act for yourself again')}</Link>
            </p>
            <Places of={found} />
          </div>
          <Pages of={found} />
        </ActingFor>
      ) : (
        <Page title={t('Representatives')}>
          <Notice kind="warn">{t('You do not act for this person, or no longer.')} <Link href="~/representatives">{t('For whom you act')}</Link></Notice>
        </Page>
      ))}
    </Loaded>
  );
}

function Places({ of }: { of: Acting }) {
  const [here] = useLocation();
  const places: (readonly [string, English, boolean])[] = [
    ['/', 'Records', of.activities.has('READ_RECORDS')],
    ['/new', 'Write a record', of.activities.has('CREATE_RECORDS')],
    ['/log', 'Who saw what', of.activities.has('READ_ACCESS_LOG')],
    ['/access', 'Access', of.activities.has('READ_CONSENTS')],
    ['/export', 'Take everything out', of.activities.has('EXPORT_RECORDS')],
  ];
  return (
    <nav aria-label={t('What you may do for {0}', of.patient.username)}>
      <ul>
        {places.filter(([, , isThere]) => isThere).map(([href, text]) => <li key={href}><Link href={href} aria-current={here === href ? 'page' : undefined}>{t(text)}</Link></li>)}
      </ul>
    </nav>
  );
}

function Pages({ of }: { of: Acting }) {
  const { id } = of.patient;
  const may = (activity: Parameters<typeof of.activities.has>[0], page: ReactNode) => (of.activities.has(activity) ? page : <First of={of} />);
  return (
    <Switch>
      <Route path="/records/:record">{({ record }) => may('READ_RECORDS', <Record id={record} />)}</Route>
      <Route path="/new">{may('CREATE_RECORDS', <NewRecord patientId={id} back={of.activities.has('READ_RECORDS') ? '/' : '~/representatives'} />)}</Route>
      <Route path="/log">{may('READ_ACCESS_LOG', <Log />)}</Route>
      <Route path="/access">{may('READ_CONSENTS', <Access />)}</Route>
      <Route path="/export">{may('EXPORT_RECORDS', <Export />)}</Route>
      <Route path="/">{may('READ_RECORDS', <RecordsPage />)}</Route>
      <Route><Redirect to="/" replace /></Route>
    </Switch>
  );
}

/** For who may do something else than what the address names. */
function First({ of }: { of: Acting }) {
  return <Page title={t('Representatives')}><Notice>{t('Choose above what you want to do for {0}.', of.patient.username)}</Notice></Page>;
}

function RecordsPage() {
  const [tab, setTab] = useKept('tab', 'records');
  const name = useActing()?.patient.username ?? '';
  return (
    <Page title={t('Records of {0}', name)} windowTitle={t('Records')}>
      <Tabs label={t('Records')} value={tab} onChange={setTab} of={[
        ['records', t('Timeline'), <Records key="records" />],
        ['trends', t('Trends'), <Trends key="trends" />],
      ]} />
    </Page>
  );
}

function Log() {
  const name = useActing()?.patient.username ?? '';
  return <Page title={t('Who saw what')} lead={t('What was done with the data of {0}. “You” in it is the patient.', name)}><Entries /></Page>;
}

function Export() {
  const acting = useActing();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<CombinedError>();
  const take = async () => {
    if (!acting) return;
    setBusy(true);
    setError(undefined);
    const query = new URLSearchParams({ patient: acting.patient.id, onBehalfOf: acting.patient.id, format: 'bundle', history: 'true' });
    await download(`export?${query}`).then((file) => save('records.json', file), (cause: CombinedError) => setError(cause));
    setBusy(false);
  };
  return (
    <Page title={t('Take everything out')} lead={t('The records of {0}, with their earlier versions, as one FHIR Bundle.', acting?.patient.username ?? '')} windowTitle={t('Take everything out')}>
      <Failure error={error} />
      <Button kind="main" isPending={isBusy} onPress={take}>{t('Save the records')}</Button>
    </Page>
  );
}
