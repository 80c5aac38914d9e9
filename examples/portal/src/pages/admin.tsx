// What administrators look after: accounts, proposals, organisations.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { Role, UsersQuery } from '../gql/graphql';
import { Button, Card, Choice, Confirm, DialogTrigger, Empty, Failure, Field, Loaded, Notice, Page, Popup, Tag } from '../ui';
import { t, time } from '../words';
import { relationship, representedActivity, role } from '../words/labels';

const USERS = graphql(`
  query Users($search: String, $role: Role, $after: Cursor) {
    users(first: 20, search: $search, role: $role, after: $after) {
      nodes { id username email role isActive createdAt organizations { id name } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const PROPOSALS = graphql(`
  query Proposals { roleProposals(first: 50) { nodes { id role proposedAt expiresAt user { id username } proposedBy { id username } } } }
`);
const REPRESENTATIVE_PROPOSALS = graphql(`
  query RepresentativeProposals {
    representativeProposals(first: 50) {
      nodes { id relationship activities validUntil reason proposedAt approveBefore patient { id username } representative { id username } proposedBy { id username } }
    }
  }
`);
const SET_ROLE = graphql(`
  mutation SetRole($input: SetRoleInput!) { setRole(input: $input) { outcome confirmBefore user { id role } userErrors { code field message } } }
`);
const DEACTIVATE = graphql(`
  mutation DeactivateUser($input: UserActivityInput!) { deactivateUser(input: $input) { user { id isActive } userErrors { code field message } } }
`);
const REACTIVATE = graphql(`
  mutation ReactivateUser($input: UserActivityInput!) { reactivateUser(input: $input) { user { id isActive } userErrors { code field message } } }
`);
const APPROVE = graphql(`
  mutation ApproveRepresentative($input: RepresentativeProposalInput!) { approveRepresentative(input: $input) { representative { id } userErrors { code field message } } }
`);
const REJECT = graphql(`
  mutation RejectRepresentative($input: RepresentativeProposalInput!) { rejectRepresentative(input: $input) { proposal { id } userErrors { code field message } } }
`);

export default function Accounts() {
  return (
    <Page title={t('Accounts')}>
      <Proposals />
      <RepresentativeProposals />
      <Users />
    </Page>
  );
}

function Users() {
  const [search, setSearch] = useState('');
  const [of, setOf] = useState<Role | ''>('');
  const [afters, setAfters] = useState<string[]>([]);
  const [result] = useQuery({ query: USERS, variables: { search: search.trim() || null, role: of || null, after: afters.at(-1) ?? null } });
  return (
    <Card title={t('All accounts')}>
      <div className="row">
        <Field type="search" label={t('Search')} value={search} onChange={(next) => { setSearch(next); setAfters([]); }} />
        <Choice<Role | ''> label={t('Role')} value={of} onChange={(next) => { setOf(next); setAfters([]); }} options={[['', t('Everybody')], ['PATIENT', role('PATIENT')], ['DOCTOR', role('DOCTOR')], ['ADMIN', role('ADMIN')]]} />
      </div>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.users ?? undefined }}>
        {(found) => (
          <>
            <ul className="plain">{found.nodes.map((each) => <UserItem key={each.id} of={each} />)}</ul>
            <div className="actions">
              {afters.length > 0 ? <Button onPress={() => setAfters(afters.slice(0, -1))}>{t('Back')}</Button> : null}
              {found.pageInfo.hasNextPage ? <Button onPress={() => setAfters([...afters, found.pageInfo.endCursor ?? ''])}>{t('Show more')}</Button> : null}
            </div>
          </>
        )}
      </Loaded>
    </Card>
  );
}

type Account = NonNullable<UsersQuery['users']>['nodes'][number];

function UserItem({ of }: { of: Account }) {
  const [, deactivate] = useMutation(DEACTIVATE);
  const [, reactivate] = useMutation(REACTIVATE);
  const input = { userId: of.id };
  const isMe = session.get()?.person.id === of.id;
  return (
    <li className="between">
      <span>
        <strong>{of.username}</strong> <Tag>{role(of.role)}</Tag> {of.isActive ? null : <Tag kind="bad">{t('inactive')}</Tag>}
        <span className="small besides">{of.email ?? ''} · {time(of.createdAt)} {of.organizations.map((each) => each.name).join(', ')} · <code>{of.id}</code></span>
      </span>
      {isMe || !of.role ? null : (
        <span className="actions">
          <ChangeRole of={of} />
          {of.isActive
            ? <Confirm kind="danger" label={t('Deactivate')} title={t('Deactivate {0}?', of.username)} text={<p>{t('Nobody can log in with it then.')}</p>} action={async () => (await deactivate({ input })).error} />
            : <Confirm label={t('Make active again')} title={t('Make {0} active again?', of.username)} text="" action={async () => (await reactivate({ input })).error} />}
        </span>
      )}
    </li>
  );
}

function ChangeRole({ of }: { of: Account }) {
  const [next, setNext] = useState<Role>(of.role ?? 'PATIENT');
  const [{ data, error, fetching }, set] = useMutation(SET_ROLE);
  return (
    <DialogTrigger>
      <Button aria-label={t('Change the role of {0}', of.username)}>{t('Role …')}</Button>
      <Popup title={t('Change the role of {0}', of.username)}>
        {(close) => (
          <>
            <Choice<Role> label={t('Role')} value={next} onChange={setNext} options={(['PATIENT', 'DOCTOR', 'ADMIN'] as const).map((each) => [each, role(each)] as const)} hint={t('To give or take the role of an administrator, two administrators ask for the same within a day.')} />
            {data?.setRole?.outcome === 'WAITING' ? <Notice kind="warn">{t('A second administrator has to ask for the same before {0}.', time(data.setRole.confirmBefore))}</Notice> : null}
            <Failure error={error} />
            <div className="actions">
              <Button kind="main" isPending={fetching} onPress={async () => { if ((await set({ input: { userId: of.id, role: next } })).data?.setRole?.outcome === 'DONE') close(); }}>{t('Change it')}</Button>
              <Button onPress={close}>{t('Close')}</Button>
            </div>
          </>
        )}
      </Popup>
    </DialogTrigger>
  );
}

function Proposals() {
  const [result] = useQuery({ query: PROPOSALS });
  const [, set] = useMutation(SET_ROLE);
  const me = session.get()?.person.id;
  return (
    <Card title={t('Proposals that wait')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.roleProposals ?? undefined }}>
        {(found) => (found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : (
          <ul className="plain">
            {found.nodes.map((each) => (
              <li key={each.id} className="between">
                <span>{each.user.username} → {role(each.role)} <span className="small">{t('by {0}', each.proposedBy.username)} · {t('until {0}', time(each.expiresAt))}</span></span>
                {each.proposedBy.id === me ? null : <Confirm label={t('Confirm')} title={t('Confirm it?')} text={<p>{each.user.username} → {role(each.role)}</p>} action={async () => (await set({ input: { userId: each.user.id, role: each.role } })).error} />}
              </li>
            ))}
          </ul>
        ))}
      </Loaded>
    </Card>
  );
}

function RepresentativeProposals() {
  const [result] = useQuery({ query: REPRESENTATIVE_PROPOSALS });
  const [, approve] = useMutation(APPROVE);
  const [, reject] = useMutation(REJECT);
  const me = session.get()?.person.id;
  const nodes = result.data?.representativeProposals?.nodes ?? [];
  if (nodes.length === 0) return null;
  return (
    <Card title={t('Proposed representatives')}>
      <ul className="plain">
        {nodes.map((each) => (
          <li key={each.id} className="between">
            <span>{each.representative.username} → {each.patient.username} ({relationship(each.relationship)}) <span className="small besides">{each.activities.map(representedActivity).join(', ')} · {each.reason} · {t('until {0}', time(each.approveBefore))}</span></span>
            <span className="actions">
              {each.proposedBy.id === me ? null : <Confirm label={t('Approve')} title={t('Approve it?')} text={<p>{each.representative.username} → {each.patient.username}</p>} action={async () => (await approve({ input: { id: each.id } })).error} />}
              <Confirm kind="danger" label={t('Reject')} title={t('Reject it?')} text="" action={async () => (await reject({ input: { id: each.id } })).error} />
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
