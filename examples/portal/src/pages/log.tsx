// Who saw what, as it happens: each access is told, and the log is read again.
import { useQuery } from 'urql';
import { Link } from 'wouter';
import { useActing, useOnBehalfOf } from '../api/acting';
import { latestOf, useFeed, useReread } from '../api/feed';
import { useKept } from '../api/place';
import { graphql } from '../gql';
import { Button, Card, Choice, Empty, Loaded, Page, Pager, Table, Tag, usePaging } from '../ui';
import { Tabs } from '../ui/tabs';
import { day, sentenceLanguage, t, time } from '../words';
import { role } from '../words/labels';

const LOG = graphql(`
  query AccessLog($allowed: Boolean, $emergency: Boolean, $language: Language, $after: Cursor, $onBehalfOf: UUID) {
    myAccessLog(grouped: true, first: 30, allowed: $allowed, emergency: $emergency, after: $after, onBehalfOf: $onBehalfOf) {
      nodes { id at since sentence(language: $language) allowed emergency times recordId asRepresentative who { id username role } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const DAYS = graphql(`
  query AccessDays($after: Cursor) {
    myAccessLogByDay(first: 50, after: $after) {
      nodes { day who { id username role } reads searches denials emergencies times records }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const FEED = graphql(`
  subscription AccessFeed($language: Language, $after: Cursor) { accessEvents(after: $after) { id at sentence(language: $language) allowed emergency } }
`);

type Which = 'all' | 'refused' | 'emergency';

export default function Log() {
  const [tab, setTab] = useKept('tab', 'log');
  return (
    <Page title={t('Who saw what')} lead={t('Everything that was done with your data, and what was tried.')}>
      <Tabs label={t('Who saw what')} value={tab} onChange={setTab} of={[
        ['log', t('One by one'), <Live key="log" />],
        ['days', t('By day'), <Days key="days" />],
      ]} />
    </Page>
  );
}

/** What is told of one's own data. Of a patient for whom somebody acts, nothing is. */
function Live() {
  const { events, missed, isOpen } = useFeed(FEED, { language: sentenceLanguage() }, (data, extensions) => ({ ...data.accessEvents, cursor: String(extensions['cursor'] ?? data.accessEvents.id) }));
  const latest = events[0];
  return (
    <>
      <span className="hidden" role="status">{latest?.sentence ?? ''}</span>
      <Entries latest={latestOf(latest, missed)} told={events.length} isLive={isOpen} />
    </>
  );
}

export function Entries({ latest, told = 0, isLive }: { latest?: string | undefined; told?: number; isLive?: boolean }) {
  const [which, setWhich] = useKept<Which>('which', 'all');
  const paging = usePaging(which);
  const [result, again] = useQuery({ query: LOG, variables: { allowed: which === 'refused' ? false : null, emergency: which === 'emergency' ? true : null, language: sentenceLanguage(), after: paging.after, ...useOnBehalfOf() } });
  const isFirst = paging.afters.length === 0;
  useReread(isFirst ? latest : undefined, again);
  return (
    <Card actions={<>{isLive === undefined ? null : <Tag kind={isLive ? 'good' : 'warn'}>{isLive ? t('live') : t('not live')}</Tag>}<Button onPress={() => again({ requestPolicy: 'network-only' })}>{t('Read again')}</Button></>}>
      <Choice<Which> label={t('Show')} value={which} onChange={setWhich} options={[['all', t('Everything')], ['refused', t('What was refused')], ['emergency', t('Emergencies')]]} />
      {!isFirst && told > 0 ? <p><Button onPress={() => paging.set([])}>{t('{0} new: go to the newest', told)}</Button></p> : null}
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.myAccessLog ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : null}
            <LogList of={found.nodes} />
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

type Entry = { id: string; at: string; sentence: string; allowed: boolean; emergency: boolean; times: number; recordId?: string | null };

function LogList({ of }: { of: readonly Entry[] }) {
  const acting = useActing();
  const mayOpen = !acting || acting.activities.has('READ_RECORDS');
  return (
    <ul className="plain log">
      {of.map((entry) => (
        <li key={entry.id}>
          <span className="when">{time(entry.at)}</span>{' '}
          {entry.allowed ? null : <Tag kind="bad">{t('refused')}</Tag>}
          {entry.emergency ? <Tag kind="warn">{t('emergency')}</Tag> : null}
          {entry.times > 1 ? <Tag>{t('{0} times', entry.times)}</Tag> : null} {entry.sentence}
          {entry.recordId && mayOpen ? <> <Link href={`/records/${entry.recordId}`} aria-label={t('Open the record of {0}', time(entry.at))}>{t('record')}</Link></> : null}
        </li>
      ))}
    </ul>
  );
}

function Days() {
  const paging = usePaging();
  const [result] = useQuery({ query: DAYS, variables: { after: paging.after } });
  return (
    <Card>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.myAccessLogByDay ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('There is nothing.')}</Empty> : (
              <Table
                caption={t('By day')}
                head={[t('Day'), t('Who'), t('Opened'), t('Lists'), t('Refused'), t('Emergencies'), t('Records')]}
                rows={found.nodes.map((each) => ({
                  key: `${each.day} ${each.who.id}`,
                  cells: [day(each.day), `${each.who.username} (${role(each.who.role)})`, each.reads, each.searches, each.denials, each.emergencies, each.records],
                }))}
              />
            )}
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}
