// What the person was told: emergency access above all, with the reasons and what reviews came to.
import { useMutation, useQuery } from 'urql';
import { Link } from 'wouter';
import { latestOf, useFeed, useReread } from '../api/feed';
import { session } from '../api/session';
import { useKept } from '../api/place';
import { graphql } from '../gql';
import type { NoticesQuery, NotificationKind } from '../gql/graphql';
import { Button, Card, Choice, Empty, Facts, Failure, Loaded, Page, Pager, Tag, usePaging } from '../ui';
import { type English, sentenceLanguage, t, time } from '../words';
import { decision, notification, purpose, reviewStatus } from '../words/labels';
import { NOTICE_FEED, UNREAD } from './notices-queries';

const NOTICES = graphql(`
  query Notices($unreadOnly: Boolean!, $language: Language, $after: Cursor) {
    notifications(first: 20, unreadOnly: $unreadOnly, after: $after) {
      nodes { id cursor kind at readAt sentence(language: $language) who { id username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const MARK = graphql(`
  mutation MarkRead($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) { marked unread userErrors { code field message } } }
`);
const WINDOWS = graphql(`
  query WindowsOnMe($after: Cursor) {
    myBreakGlassWindows(first: 20, after: $after) {
      nodes { id purpose reason openedAt expiresAt closedAt isOpen reviewStatus reviewedAt decision note doctor { id username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

type Which = 'all' | 'unread';

export default function Notices() {
  const [which, setWhich] = useKept<Which>('which', 'all');
  const paging = usePaging(which);
  const [result, again] = useQuery({ query: NOTICES, variables: { unreadOnly: which === 'unread', language: sentenceLanguage(), after: paging.after } });
  const [count] = useQuery({ query: UNREAD });
  const [{ error }, mark] = useMutation(MARK);
  const { events, missed } = useFeed(NOTICE_FEED, { language: sentenceLanguage() }, (data) => data.notifications);
  useReread(latestOf(events[0], missed), again);
  const unread = count.data?.unreadNotifications ?? 0;
  return (
    <Page
      title={t('Notices')}
      lead={unread > 0 ? t('{0} unread', unread) : count.data ? t('All of them are read.') : null}
      actions={unread > 0 ? <Button onPress={() => mark({ input: {} })}>{t('Mark all as read')}</Button> : null}
    >
      <Card>
        <Choice<Which> label={t('Show')} value={which} onChange={setWhich} options={[['all', t('Everything')], ['unread', t('What is unread')]]} />
        <Failure error={error} />
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.notifications ?? undefined }}>
          {(found) => (
            <>
              {found.nodes.length === 0 ? <Empty>{t('There is nothing that you have to know.')}</Empty> : null}
              <ul className="plain log">{found.nodes.map((each) => <NoticeItem key={each.id} of={each} mark={() => mark({ input: { ids: [each.id] } })} />)}</ul>
              <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
            </>
          )}
        </Loaded>
      </Card>
      {session.get()?.person.role === 'PATIENT' ? <Windows /> : null}
    </Page>
  );
}

const BAD: ReadonlySet<NotificationKind> = new Set(['BREAK_GLASS_OPENED', 'BREAK_GLASS_UNJUSTIFIED', 'BREAK_GLASS_ESCALATED']);

/** Where one reads more of it, or does something about it. */
const MORE: { [kind in NotificationKind]?: readonly [string, English] } = {
  BREAK_GLASS_ESCALATED: ['/queues', 'To decide'],
  BREAK_GLASS_OPENED: ['/log', 'Who saw what'],
  REPRESENTATION_ENDED: ['/representatives', 'Representatives'],
  REPRESENTATIVE_APPOINTED: ['/representatives', 'Representatives'],
};

type Told = NonNullable<NoticesQuery['notifications']>['nodes'][number];

function NoticeItem({ of, mark }: { of: Told; mark: () => void }) {
  const [href, text] = MORE[of.kind] ?? [];
  return (
    <li className="between">
      <span>
        <span className="when">{time(of.at)}</span> <Tag kind={BAD.has(of.kind) ? 'bad' : 'plain'}>{notification(of.kind)}</Tag>{' '}
        {of.readAt ? of.sentence : <strong>{of.sentence}</strong>} {href && text ? <Link href={href}>{t(text)}</Link> : null}
      </span>
      {of.readAt ? null : <Button kind="quiet" aria-label={t('Mark as read: {0}', of.sentence)} onPress={mark}>{t('Mark as read')}</Button>}
    </li>
  );
}

/** The emergency accesses to the person's own records. */
function Windows() {
  const paging = usePaging();
  const [result] = useQuery({ query: WINDOWS, variables: { after: paging.after } });
  const page = result.data?.myBreakGlassWindows;
  if (!page || (page.nodes.length === 0 && paging.afters.length === 0)) return <Failure error={result.error} />;
  return (
    <Card title={t('Emergency access to your records')}>
      <ul className="plain windows">
        {page.nodes.map((each) => (
          <li key={each.id}>
            <p><strong>{each.doctor.username}</strong> <Tag kind={each.isOpen ? 'bad' : 'plain'}>{each.isOpen ? t('open now') : reviewStatus(each.reviewStatus)}</Tag></p>
            <Facts of={[
              [t('Time'), `${time(each.openedAt)} – ${time(each.closedAt ?? each.expiresAt)}`], [t('What for'), purpose(each.purpose)], [t('Reason'), each.reason],
              [t('Decision'), each.decision ? `${decision(each.decision)}, ${time(each.reviewedAt)}` : t('An administrator reviews it.')], [t('Note'), each.note],
            ]} />
          </li>
        ))}
      </ul>
      <Pager of={paging} info={page.pageInfo} back={t('Newer')} on={t('Older')} />
    </Card>
  );
}
