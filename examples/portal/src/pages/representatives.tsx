// Who acts for the person, whom they name for that, and for whom they act themselves.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { Link } from 'wouter';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { Relationship, RepresentativePartsFragment, RepresentedActivity } from '../gql/graphql';
import { Button, Card, Choice, Choices, Confirm, Copyable, DialogTrigger, Empty, Failure, Field, Form, Loaded, Notice, Page, Pager, Popup, Tag, usePaging } from '../ui';
import { dayFromNow, endOfDay, t, time } from '../words';
import { RELATIONSHIPS, REPRESENTED, relationship, representedActivity } from '../words/labels';
import { PEOPLE } from './representatives-queries';

const REPRESENTATIVES = graphql(`
  query MyRepresentatives($after: Cursor) {
    myRepresentatives(first: 20, after: $after) { nodes { ...RepresentativeParts } pageInfo { hasNextPage endCursor } }
  }
`);
const APPOINT = graphql(`
  mutation AppointRepresentative($input: AppointRepresentativeInput!) { appointRepresentative(input: $input) { representative { ...RepresentativeParts } userErrors { code field message } } }
`);
const END = graphql(`
  mutation EndRepresentation($input: EndRepresentationInput!) { endRepresentation(input: $input) { representative { ...RepresentativeParts } userErrors { code field message } } }
`);

export default function Representatives() {
  const me = session.get()?.person;
  return (
    <Page title={t('Representatives')} lead={t('Who acts for you, and for whom you act.')}>
      <Mine />
      <Others />
      <Card title={t('To be named by somebody')}>
        <p>{t('Whoever is to name you needs the ID of your account:')} <Copyable text={me?.id ?? ''} label={t('Copy your ID')} /></p>
      </Card>
    </Page>
  );
}

function Mine() {
  const paging = usePaging();
  const [result] = useQuery({ query: REPRESENTATIVES, variables: { after: paging.after } });
  return (
    <Card title={t('Who acts for you')} actions={<Appoint />}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.myRepresentatives ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('Nobody acts for you.')}</Empty> : null}
            <ul className="plain representatives">
              {found.nodes.map((each) => (
                <li key={each.id} className="between">
                  <span><strong>{each.representative.username}</strong> <Terms of={each} /></span>
                  {isOver(each) ? null : <End id={each.id} text={t('{0} does nothing for you any more then.', each.representative.username)} />}
                </li>
              ))}
            </ul>
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

function Others() {
  const paging = usePaging();
  const [result] = useQuery({ query: PEOPLE, variables: { after: paging.after } });
  return (
    <Card title={t('For whom you act')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.peopleIRepresent ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('You act for nobody.')}</Empty> : null}
            <ul className="plain represented">
              {found.nodes.map((each) => (
                <li key={each.id} className="between">
                  <span>{each.isInForce ? <Link href={`/for/${each.patient.id}`}>{each.patient.username}</Link> : <strong>{each.patient.username}</strong>} <Terms of={each} /></span>
                  {isOver(each) ? null : <End id={each.id} text={t('You act for {0} no longer then.', each.patient.username)} />}
                </li>
              ))}
            </ul>
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

const isOver = (of: RepresentativePartsFragment): boolean => of.endedAt !== null || Date.parse(of.validUntil) <= Date.now();

function Terms({ of }: { of: RepresentativePartsFragment }) {
  const state = (): string | undefined => {
    if (of.endedAt) return t('ended {0}', time(of.endedAt));
    if (isOver(of)) return t('ended');
    if (of.isInForce) return undefined;
    return Date.parse(of.validFrom) > Date.now() ? t('from {0}', time(of.validFrom)) : t('not in force');
  };
  const told = state();
  return (
    <>
      ({relationship(of.relationship)}) {told ? <Tag>{told}</Tag> : <Tag kind="good">{t('in force')}</Tag>} {of.isByAdministrators ? <Tag>{t('named by administrators')}</Tag> : null}
      <span className="small besides">{of.activities.map(representedActivity).join(', ')} · {t('until {0}', time(of.validUntil))}{of.reason ? ` · ${of.reason}` : ''}</span>
    </>
  );
}

function End({ id, text }: { id: string; text: string }) {
  const [, end] = useMutation(END);
  return <Confirm kind="danger" label={t('End it')} title={t('End the representation?')} text={<p>{text}</p>} action={async () => (await end({ input: { id } })).error} />;
}

export interface Draft {
  readonly representativeId: string;
  readonly relationship: Relationship;
  readonly activities: RepresentedActivity[];
  readonly until: string;
}

export const emptyDraft = (): Draft => ({ representativeId: '', relationship: 'CARER', activities: ['READ_RECORDS'], until: dayFromNow(365) });

/** As the api takes it; undefined where something is missing. */
export function draftInput({ until, representativeId, ...rest }: Draft) {
  const validUntil = endOfDay(until);
  return validUntil && rest.activities.length > 0 ? { ...rest, representativeId: representativeId.trim(), validUntil } : undefined;
}

export function DraftForm({ value, onChange, hasId = true }: { value: Draft; onChange: (value: Draft) => void; hasId?: boolean }) {
  const set = (part: Partial<Draft>) => onChange({ ...value, ...part });
  // Who changes consents is shown them, too.
  const setActivities = (next: RepresentedActivity[]) => {
    const isDropped = value.activities.includes('READ_CONSENTS') && !next.includes('READ_CONSENTS');
    const changes = next.includes('CHANGE_CONSENTS') && !isDropped;
    set({ activities: changes ? [...new Set([...next, 'READ_CONSENTS' as const])] : next.filter((each) => each !== 'CHANGE_CONSENTS') });
  };
  return (
    <>
      {hasId ? <Field label={t('ID of their account')} name="representativeId" value={value.representativeId} isRequired hint={t('They find it on their page of representatives.')} onChange={(representativeId) => set({ representativeId })} /> : null}
      <div className="row">
        <Choice<Relationship> label={t('What they are to the patient')} value={value.relationship} onChange={(next) => set({ relationship: next })} options={RELATIONSHIPS.map((each) => [each, relationship(each)] as const)} />
        <Field type="date" label={t('Until, with this day')} name="validUntil" value={value.until} isRequired hint={t('At most 18 years from now')} onChange={(until) => set({ until })} />
      </div>
      <Choices<RepresentedActivity> label={t('What they may do')} name="activities" value={value.activities} onChange={setActivities} options={REPRESENTED.map((each) => [each, representedActivity(each)] as const)} />
    </>
  );
}

function Appoint() {
  const [draft, setDraft] = useState(emptyDraft);
  const [wrong, setWrong] = useState(false);
  const [{ error, fetching }, appoint] = useMutation(APPOINT);
  return (
    <DialogTrigger>
      <Button>{t('Name somebody …')}</Button>
      <Popup title={t('Name somebody who acts for you')}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            const input = draftInput(draft);
            setWrong(!input);
            if (!input || !(await appoint({ input })).data?.appointRepresentative) return;
            setDraft(emptyDraft());
            close();
          }}>
            <p>{t('They act from now on, with your rights as far as you say here. What they do is recorded with both names.')}</p>
            <DraftForm value={draft} onChange={setDraft} />
            {wrong ? <Notice kind="bad">{t('Choose at least one thing that they may do, and a day.')}</Notice> : null}
            <Failure error={error} />
            <div className="actions"><Button type="submit" kind="main" isPending={fetching}>{t('Name them')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}
