import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { graphql } from '../gql';
import { Button, Card, Confirm, Empty, Failure, Field, Form, Loaded, Page, Tag } from '../ui';
import { day, t } from '../words';

const ORGANIZATIONS = graphql(`
  query Organizations($search: String) { organizations(first: 50, search: $search) { nodes { id name country isActive } } }
`);
const MEMBERS = graphql(`
  query Members($id: UUID!) { organizationMembers(organizationId: $id, first: 50) { nodes { id from until endedAt isActive doctor { id username } } } }
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
  const [result] = useQuery({ query: ORGANIZATIONS, variables: { search: search.trim() || null } });
  const [, update] = useMutation(UPDATE);
  return (
    <Page title={t('Organisations')}>
      <Create />
      <Card title={t('All organisations')}>
        <Field type="search" label={t('Search')} value={search} onChange={setSearch} />
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.organizations ?? undefined }}>
          {(found) => (found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : (
            <ul className="plain">
              {found.nodes.map((each) => (
                <li key={each.id}>
                  <div className="between">
                    <span><strong>{each.name}</strong> <Tag>{each.country}</Tag> {each.isActive ? null : <Tag kind="bad">{t('inactive')}</Tag>}</span>
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
            </ul>
          ))}
        </Loaded>
      </Card>
    </Page>
  );
}

function Create() {
  const [name, setName] = useState('');
  const [country, setCountry] = useState('ID');
  const [{ error, fetching }, create] = useMutation(CREATE);
  return (
    <Card title={t('A new organisation')}>
      <Form error={error} className="inline-form" onSubmit={async (event) => { event.preventDefault(); if ((await create({ input: { name, country: country.toUpperCase() } })).data?.createOrganization) setName(''); }}>
        <Field label={t('Name')} name="name" value={name} isRequired minLength={2} onChange={setName} />
        <Field label={t('Country (two letters)')} name="country" value={country} isRequired minLength={2} maxLength={2} onChange={setCountry} />
        <Button type="submit" kind="main" isPending={fetching}>{t('Make it')}</Button>
      </Form>
      <Failure error={error} />
    </Card>
  );
}

function Members({ id }: { id: string }) {
  const [search, setSearch] = useState('');
  const [result, again] = useQuery({ query: MEMBERS, variables: { id } });
  const [doctors] = useQuery({ query: DOCTORS, variables: { search: search.trim() }, pause: search.trim().length < 2 });
  const [{ error }, add] = useMutation(ADD_MEMBER);
  const [, end] = useMutation(END_MEMBERSHIP);
  const reload = () => again({ requestPolicy: 'network-only' });
  return (
    <div className="item">
      <ul className="plain">
        {result.data?.organizationMembers?.nodes.map((each) => (
          <li key={each.id} className="between">
            <span>{each.doctor.username} <span className="small">{day(each.from)} – {each.until ? day(each.until) : '…'}</span> {each.isActive ? null : <Tag>{t('ended')}</Tag>}</span>
            {each.isActive ? <Confirm kind="danger" label={t('End it')} title={t('End the membership?')} text={<p>{each.doctor.username}</p>} action={async () => { const answer = await end({ id: each.id }); reload(); return answer.error; }} /> : null}
          </li>
        ))}
      </ul>
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
