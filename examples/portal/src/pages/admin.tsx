// What administrators look after: accounts, proposals, organisations.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { useKept } from '../api/place';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { Role, UsersQuery } from '../gql/graphql';
import { Button, Card, Choice, Confirm, DialogTrigger, Empty, Failure, Field, Form, Loaded, Notice, Page, Pager, Popup, Tag, usePaging } from '../ui';
import { AccountChoice, type Chosen } from '../ui/account-choice';
import { t, time } from '../words';
import { relationship, representedActivity, role } from '../words/labels';
import { DraftForm, draftInput, emptyDraft } from './representatives';

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
const PROPOSE = graphql(`
  mutation ProposeRepresentative($input: ProposeRepresentativeInput!) { proposeRepresentative(input: $input) { proposal { id } userErrors { code field message } } }
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
  const [search, setSearch] = useKept('search', '');
  const [of, setOf] = useKept<Role | ''>('role', '');
  const paging = usePaging(`${of} ${search}`);
  const [result] = useQuery({ query: USERS, variables: { search: search.trim() || null, role: of || null, after: paging.after } });
  return (
    <Card title={t('All accounts')}>
      <div className="row">
        <Field type="search" label={t('Search')} value={search} hint={t('How the user name begins')} onChange={setSearch} />
        <Choice<Role | ''> label={t('Role')} value={of} onChange={setOf} options={[['', t('Everybody')], ['PATIENT', role('PATIENT')], ['DOCTOR', role('DOCTOR')], ['ADMIN', role('ADMIN')]]} />
      </div>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.users ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('There is no such account.')}</Empty> : null}
            <ul className="plain">{found.nodes.map((each) => <UserItem key={each.id} of={each} />)}</ul>
            <Pager of={paging} info={found.pageInfo} />
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
        <span className="small besides">{[of.email, time(of.createdAt), ...of.organizations.map((each) => each.name)].filter(Boolean).join(' · ')} · <code>{of.id}</code></span>
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
          <Form error={error} onSubmit={async (event) => { event.preventDefault(); if ((await set({ input: { userId: of.id, role: next } })).data?.setRole?.outcome === 'DONE') close(); }}>
            <Choice<Role> label={t('Role')} name="role" value={next} onChange={setNext} options={(['PATIENT', 'DOCTOR', 'ADMIN'] as const).map((each) => [each, role(each)] as const)} hint={t('To give or take the role of an administrator, two administrators ask for the same within a day.')} />
            {data?.setRole?.outcome === 'WAITING' ? <Notice kind="warn">{t('A second administrator has to ask for the same before {0}.', time(data.setRole.confirmBefore))}</Notice> : null}
            <Failure error={error} />
            <div className="actions">
              <Button type="submit" kind="main" isPending={fetching}>{t('Change it')}</Button>
              <Button onPress={close}>{t('Close')}</Button>
            </div>
          </Form>
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
  return (
    <Card title={t('Proposed representatives')} actions={<Propose />}>
      <Failure error={result.error} />
      {nodes.length === 0 && !result.fetching ? <Empty>{t('There is none.')}</Empty> : null}
      <ul className="plain proposed">
        {nodes.map((each) => (
          <li key={each.id} className="between">
            <span>{each.representative.username} → {each.patient.username} ({relationship(each.relationship)}) <span className="small besides">{each.activities.map(representedActivity).join(', ')} · {each.reason} · {t('until {0}', time(each.approveBefore))}</span></span>
            <span className="actions">
              {each.proposedBy.id === me ? null : <Confirm label={t('Approve')} title={t('Approve it?')} text={<p>{each.representative.username} → {each.patient.username}: {each.activities.map(representedActivity).join(', ')}</p>} action={async () => (await approve({ input: { id: each.id } })).error} />}
              <Confirm kind="danger" label={t('Reject')} title={t('Reject it?')} text={<p>{each.representative.username} → {each.patient.username}</p>} action={async () => (await reject({ input: { id: each.id } })).error} />
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** For a patient who can name nobody, such as a child. */
function Propose() {
  const [patient, setPatient] = useState<Chosen>();
  const [representative, setRepresentative] = useState<Chosen>();
  const [draft, setDraft] = useState(emptyDraft);
  const [reason, setReason] = useState('');
  const [wrong, setWrong] = useState(false);
  const [{ error, fetching }, propose] = useMutation(PROPOSE);
  const submit = async (close: () => void) => {
    if (!patient || !representative) return;
    const input = draftInput({ ...draft, representativeId: representative.id });
    setWrong(!input);
    if (!input || !(await propose({ input: { ...input, patientId: patient.id, reason } })).data?.proposeRepresentative) return;
    [setPatient, setRepresentative].forEach((set) => set(undefined));
    setDraft(emptyDraft());
    setReason('');
    close();
  };
  return (
    <DialogTrigger>
      <Button>{t('Propose somebody …')}</Button>
      <Popup title={t('Propose a representative')}>
        {(close) => (
          <Form error={error} onSubmit={(event) => { event.preventDefault(); void submit(close); }}>
            <p>{t('For a patient who can name nobody, such as a child. Another administrator has to approve it within seven days.')}</p>
            <AccountChoice label={t('Patient')} name="patientId" role="PATIENT" value={patient} onChange={setPatient} />
            <AccountChoice label={t('Who is to act')} name="representativeId" value={representative} onChange={setRepresentative} />
            <DraftForm value={draft} onChange={setDraft} hasId={false} />
            <Field label={t('Reason')} name="reason" value={reason} isRequired rows={2} minLength={20} maxLength={1000} hint={t('20 to 1000 characters, nothing of the health; patient and representative read it')} onChange={setReason} />
            {wrong ? <Notice kind="bad">{t('Choose at least one thing that they may do, and a day.')}</Notice> : null}
            <Failure error={error} />
            <div className="actions"><Button type="submit" kind="main" isPending={fetching} isDisabled={!patient || !representative}>{t('Propose it')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}
