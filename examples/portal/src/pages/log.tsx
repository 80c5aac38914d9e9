// Who saw what. It is live by the person's own events: where something happens to a record, the log is read again.
import { useEffect, useState } from 'react';
import { useQuery } from 'urql';
import { Link } from 'wouter';
import { useFeed } from '../api/feed';
import { graphql } from '../gql';
import { Button, Card, Choice, Empty, Loaded, Page, Table, Tag } from '../ui';
import { Tabs } from '../ui/tabs';
import { day, t, time } from '../words';
import { role } from '../words/labels';
import { INTEGRITY_FEED } from './integrity';

const LOG = graphql(`
  query AccessLog($allowed: Boolean, $emergency: Boolean, $after: Cursor) {
    myAccessLog(grouped: true, first: 30, allowed: $allowed, emergency: $emergency, after: $after) {
      nodes { id at since sentence allowed emergency times recordId asRepresentative who { id username role } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const DAYS = graphql(`
  query AccessDays {
    myAccessLogByDay(first: 50) { nodes { day who { id username role } reads searches denials emergencies times records } }
  }
`);

type Which = 'all' | 'refused' | 'emergency';

export default function Log() {
  const [tab, setTab] = useState('log');
  return (
    <Page title={t('Who saw what')} lead={t('Everything that was done with your data, and what was tried.')}>
      <Tabs label={t('Who saw what')} value={tab} onChange={setTab} of={[
        ['log', t('One by one'), <Entries key="log" />],
        ['days', t('By day'), <Days key="days" />],
      ]} />
    </Page>
  );
}

function Entries() {
  const [which, setWhich] = useState<Which>('all');
  const [afters, setAfters] = useState<string[]>([]);
  const after = afters.at(-1) ?? null;
  const [result, again] = useQuery({ query: LOG, variables: { allowed: which === 'refused' ? false : null, emergency: which === 'emergency' ? true : null, after } });
  const { events, isOpen } = useFeed(INTEGRITY_FEED, {}, (data) => data.integrityEvents);
  const latest = events[0]?.cursor;
  useEffect(() => {
    if (latest) again({ requestPolicy: 'network-only' });
  }, [latest, again]);
  // What others read makes no event: a page that is looked at asks again.
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && again({ requestPolicy: 'network-only' }), 20_000);
    return () => clearInterval(timer);
  }, [again]);
  return (
    <Card actions={<><Tag kind={isOpen ? 'good' : 'warn'}>{isOpen ? t('live') : t('not live')}</Tag><Button onPress={() => again({ requestPolicy: 'network-only' })}>{t('Read again')}</Button></>}>
      <Choice<Which> label={t('Show')} value={which} onChange={(next) => { setWhich(next); setAfters([]); }} options={[['all', t('Everything')], ['refused', t('What was refused')], ['emergency', t('Emergencies')]]} />
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.myAccessLog ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : null}
            <ul className="plain log">
              {found.nodes.map((entry) => (
                <li key={entry.id}>
                  <span className="when">{time(entry.at)}</span>{' '}
                  {entry.allowed ? null : <Tag kind="bad">{t('refused')}</Tag>}
                  {entry.emergency ? <Tag kind="warn">{t('emergency')}</Tag> : null}
                  {entry.times > 1 ? <Tag>{t('{0} times', entry.times)}</Tag> : null} {entry.sentence}
                  {entry.recordId ? <> <Link href={`/records/${entry.recordId}`} aria-label={t('Open the record of {0}', time(entry.at))}>{t('record')}</Link></> : null}
                </li>
              ))}
            </ul>
            <div className="actions">
              {afters.length > 0 ? <Button onPress={() => setAfters(afters.slice(0, -1))}>{t('Newer')}</Button> : null}
              {found.pageInfo.hasNextPage && found.pageInfo.endCursor ? <Button onPress={() => setAfters([...afters, found.pageInfo.endCursor ?? ''])}>{t('Older')}</Button> : null}
            </div>
          </>
        )}
      </Loaded>
    </Card>
  );
}

function Days() {
  const [result] = useQuery({ query: DAYS });
  return (
    <Card>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.myAccessLogByDay ?? undefined }}>
        {(found) => (
          <Table
            caption={t('By day')}
            head={[t('Day'), t('Who'), t('Opened'), t('Lists'), t('Refused'), t('Emergencies'), t('Records')]}
            rows={found.nodes.map((each, index) => ({
              key: `${index}`,
              cells: [day(each.day), `${each.who.username} (${role(each.who.role)})`, each.reads, each.searches, each.denials, each.emergencies, each.records],
            }))}
          />
        )}
      </Loaded>
    </Card>
  );
}
