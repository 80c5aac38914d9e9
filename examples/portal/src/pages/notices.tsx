// What the person was told: emergency access above all.
import { useEffect } from 'react';
import { useMutation, useQuery } from 'urql';
import { useFeed } from '../api/feed';
import { graphql } from '../gql';
import { Button, Card, Empty, Loaded, Page, Tag } from '../ui';
import { t, time } from '../words';
import { notification } from '../words/labels';
import { NOTICE_FEED } from './notices-queries';

const NOTICES = graphql(`
  query Notices { notifications(first: 50) { nodes { id cursor kind at readAt sentence who { id username } } } }
`);
const MARK = graphql(`
  mutation MarkRead($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) { marked unread userErrors { code field message } } }
`);

export default function Notices() {
  const [result, again] = useQuery({ query: NOTICES });
  const [, mark] = useMutation(MARK);
  const { events } = useFeed(NOTICE_FEED, {}, (data) => data.notifications);
  const latest = events[0]?.cursor;
  useEffect(() => {
    if (latest) again({ requestPolicy: 'network-only' });
  }, [latest, again]);
  const hasUnread = result.data?.notifications?.nodes.some((each) => !each.readAt);
  const markAll = async () => {
    await mark({ input: {} });
    again({ requestPolicy: 'network-only' });
  };
  return (
    <Page title={t('Notices')} actions={hasUnread ? <Button onPress={markAll}>{t('Mark all as read')}</Button> : null}>
      <Card>
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.notifications ?? undefined }}>
          {(found) => (
            <>
              {found.nodes.length === 0 ? <Empty>{t('There is nothing that you have to know.')}</Empty> : null}
              <ul className="plain log">
                {found.nodes.map((each) => (
                  <li key={each.id}>
                    <span className="when">{time(each.at)}</span> <Tag kind={each.kind === 'BREAK_GLASS_OPENED' || each.kind === 'BREAK_GLASS_UNJUSTIFIED' ? 'bad' : 'plain'}>{notification(each.kind)}</Tag>{' '}
                    {each.readAt ? each.sentence : <strong>{each.sentence}</strong>}
                  </li>
                ))}
              </ul>
            </>
          )}
        </Loaded>
      </Card>
    </Page>
  );
}
