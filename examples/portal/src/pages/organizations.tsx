import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { graphql } from '../gql';
import { Button, Card, Confirm, Empty, Failure, Field, Form, Loaded, Page, Pager, Tag, usePaging } from '../ui';
import { country, day, t } from '../words';

const ORGANIZATIONS = graphql(`
  query Organizations($search: String, $after: Cursor) {
    organizations(first: 20, search: $search, after: $after) { nodes { id name country isActive } pageInfo { hasNextPage endCursor } }
  }
`);
const MEMBERS = graphql(`
  query Members($id: UUID!, $after: Cursor) {
    organizationMembers(organizationId: $id, first: 20, after: $after) {
      nodes { id from until endedAt isActive doctor { id username } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const DOCTORS = graphql(`
  query DoctorsForOrganization($search: String!) { doctors(search: $search, first: 5) { nodes { id username } } }
`);
const CREATE = graphql(`
  mutation CreateOrganization($input: CreateOrganizationInput!) { createOrganization(input: $input) { organization { id name country isActive } userErrors { code field message } } }
`);
const UPDATE = graphql(`
  mutation UpdateOrganization($input: UpdateOrganizationInput!) { updateOrganization(input: $input) { organization { id name country isActive } userErrors { code field message } } }
`);
const ADD_MEMBER = graphql(`
  mutation AddMember($input: AddMemberInput!) { addMember(input: $input) { membership { id isActive } userErrors { code field message } } }
`);
const END_MEMBERSHIP = graphql(`
  mutation EndMembership($id: UUID!) { endMembership(id: $id) { membership { id isActive endedAt } userErrors { code field message } } }
`);

export default function Organizations() {
  const [search, setSearch] = useState('');
  const [open, setOpen] = useState<string>();
  // The api takes two letters, or none.
  const asked = search.replace(/[^\p{L}\p{N}]/gu, '').length < 2 ? '' : search.trim();
  const paging = usePaging(asked);
  const [result] = useQuery({ query: ORGANIZATIONS, variables: { search: asked || null, after: paging.after } });
  const [, update] = useMutation(UPDATE);
  return (
    <Page title={t('Organisations')}>
      <Create />
      <Card title={t('All organisations')}>
        <Field type="search" label={t('Search')} value={search} hint={t('At least two letters')} onChange={setSearch} />
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.organizations ?? undefined }}>
          {(found) => (found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : (
            <><ul className="plain">
              {found.nodes.map((each) => (
                <li key={each.id}>
                  <div className="between">
                    <span><strong>{each.name}</strong> <Tag>{country(each.country)}</Tag> {each.isActive ? null : <Tag kind="bad">{t('inactive')}</Tag>}</span>
                    <span className="actions">
                      <Button onPress={() => setOpen(open === each.id ? undefined : each.id)} aria-expanded={open === each.id}>{t('Members')}</Button>
                      <Confirm
                        kind={each.isActive ? 'danger' : 'plain'}
                        label={each.isActive ? t('Deactivate') : t('Make active again')}
                        title={each.name}
                        text={<p>{t('Consents that name an inactive organisation let nobody in through it.')}</p>}
                        action={async () => (await update({ input: { id: each.id, isActive: !each.isActive } })).error}
                      />
                    </span>
                  </div>
                  {open === each.id ? <Members id={each.id} /> : null}
                </li>
              ))}
            </ul><Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} /></>
          ))}
        </Loaded>
      </Card>
    </Page>
  );
}

function Create() {
  const [name, setName] = useState('');
  const [code, setCode] = useState('ID');
  const [{ error, fetching }, create] = useMutation(CREATE);
  return (
    <Card title={t('A new organisation')}>
      <Form error={error} className="inline-form" onSubmit={async (event) => { event.preventDefault(); if ((await create({ input: { name, country: code.toUpperCase() } })).data?.createOrganization) setName(''); }}>
        <Field label={t('Name')} name="name" value={name} isRequired minLength={2} onChange={setName} />
        <Field label={t('Country (two letters)')} name="country" value={code} isRequired minLength={2} maxLength={2} hint={code.length === 2 ? country(code.toUpperCase()) : undefined} onChange={setCode} />
        <Button type="submit" kind="main" isPending={fetching}>{t('Make it')}</Button>
      </Form>
      <Failure error={error} />
    </Card>
  );
}

function Members({ id }: { id: string }) {
  const [search, setSearch] = useState('');
  const paging = usePaging();
  const [result, again] = useQuery({ query: MEMBERS, variables: { id, after: paging.after } });
  const page = result.data?.organizationMembers;
  const [doctors] = useQuery({ query: DOCTORS, variables: { search: search.trim() }, pause: search.trim().length < 2 });
  const [{ error }, add] = useMutation(ADD_MEMBER);
  const [, end] = useMutation(END_MEMBERSHIP);
  const reload = () => again({ requestPolicy: 'network-only' });
  return (
    <div className="item">
      <Failure error={result.error} />
      {page?.nodes.length === 0 ? <Empty>{t('Nobody belongs to it.')}</Empty> : null}
      <ul className="plain members">
        {page?.nodes.map((each) => (
          <li key={each.id} className="between">
            <span>{each.doctor.username} <span className="small">{day(each.from)} – {each.until ? day(each.until) : '…'}</span> {each.isActive ? null : <Tag>{t('ended')}</Tag>}</span>
            {each.isActive ? <Confirm kind="danger" label={t('End it')} title={t('End the membership?')} text={<p>{each.doctor.username}</p>} action={async () => { const answer = await end({ id: each.id }); reload(); return answer.error; }} /> : null}
          </li>
        ))}
      </ul>
      {page ? <Pager of={paging} info={page.pageInfo} back={t('Newer')} on={t('Older')} /> : null}
      <Field type="search" label={t('Add a doctor')} value={search} onChange={setSearch} />
      <ul className="plain pick">
        {search.trim().length < 2 ? null : doctors.data?.doctors?.nodes.map((doctor) => (
          <li key={doctor.id}><span>{doctor.username}</span><Button aria-label={t('Add {0}', doctor.username)} onPress={async () => { await add({ input: { organizationId: id, doctorId: doctor.id } }); setSearch(''); reload(); }}>{t('Add')}</Button></li>
        ))}
      </ul>
      <Failure error={error} />
    </div>
  );
}
