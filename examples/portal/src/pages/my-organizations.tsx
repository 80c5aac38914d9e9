// Organisations as patients and doctors see them: to which a doctor belongs, and which ones there are.
import { useState } from 'react';
import { useQuery } from 'urql';
import { Link } from 'wouter';
import { session } from '../api/session';
import { graphql } from '../gql';
import { Card, Empty, Field, Loaded, Page, Pager, Tag, usePaging } from '../ui';
import { country, day, t, time } from '../words';

const MEMBERSHIPS = graphql(`
  query MyMemberships { me { id memberships { id from until endedAt isActive organization { id name country isActive } } } }
`);
const ORGANIZATIONS = graphql(`
  query AllOrganizations($search: String, $after: Cursor) {
    organizations(first: 20, search: $search, after: $after) { nodes { id name country isActive } pageInfo { hasNextPage endCursor } }
  }
`);

export default function MyOrganizations() {
  const isDoctor = session.get()?.person.role === 'DOCTOR';
  return (
    <Page title={t('Organisations')} lead={isDoctor ? t('A patient who lets an organisation in lets in all of its doctors.') : t('Whoever belongs to an organisation that you let in has access.')}>
      {isDoctor ? <Memberships /> : null}
      <All />
    </Page>
  );
}

function Memberships() {
  const [result] = useQuery({ query: MEMBERSHIPS });
  return (
    <Card title={t('To which you belong')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.me?.memberships ?? undefined }}>
        {(found) => (
          <>
            {found.length === 0 ? <Empty>{t('You belong to none. An administrator adds you.')}</Empty> : null}
            <ul className="plain memberships">
              {found.map((each) => (
                <li key={each.id}>
                  <strong>{each.organization?.name ?? t('An organisation')}</strong>{' '}
                  <Tag kind={each.isActive ? 'good' : 'plain'}>{each.isActive ? t('in force') : Date.parse(each.from) > Date.now() ? t('from {0}', time(each.from)) : t('ended')}</Tag>
                  {each.organization?.isActive === false ? <Tag kind="bad">{t('inactive')}</Tag> : null}
                  <span className="small besides">{each.organization ? `${country(each.organization.country)} · ` : ''}{day(each.from)} – {each.endedAt ? day(each.endedAt) : each.until ? day(each.until) : t('without an end')}</span>
                </li>
              ))}
            </ul>
          </>
        )}
      </Loaded>
    </Card>
  );
}

function All() {
  const [search, setSearch] = useState('');
  // The api takes two letters, or none.
  const asked = search.replace(/[^\p{L}\p{N}]/gu, '').length < 2 ? '' : search.trim();
  const paging = usePaging(asked);
  const [result] = useQuery({ query: ORGANIZATIONS, variables: { search: asked || null, after: paging.after } });
  return (
    <Card title={t('All organisations')}>
      <Field type="search" label={t('Search')} value={search} hint={t('At least two letters')} onChange={setSearch} />
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.organizations ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : null}
            <ul className="plain organizations">
              {found.nodes.map((each) => <li key={each.id}><strong>{each.name}</strong> <Tag>{country(each.country)}</Tag> {each.isActive ? null : <Tag kind="bad">{t('inactive')}</Tag>}</li>)}
            </ul>
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
      <p><Link className="button" href="/access">{t('Let an organisation in')}</Link></p>
    </Card>
  );
}
