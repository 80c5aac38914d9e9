// Who has access, and giving or taking it: to give, choose the doctor and press; to take, press and confirm.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { complete } from '../api/payload';
import { graphql } from '../gql';
import type { DataCategory, ProcessingActivity, PurposeOfUse, WhoHasAccessQuery } from '../gql/graphql';
import { Button, Card, Choice, Choices, Confirm, Empty, Failure, Field, Loaded, Notice, Page, Tag } from '../ui';
import { t, time } from '../words';
import { RECORD_TYPES, activity, dataCategory, purpose, recordType, relationship, representedActivity, role } from '../words/labels';

graphql(`
  fragment ConsentParts on Consent {
    id purpose dataCategories processingActivities givenAt expiresAt withdrawnAt isActive
    grantees { kind role country user { id username } organization { id name } }
  }
`);
const WHO_HAS_ACCESS = graphql(`
  query WhoHasAccess($after: Cursor) {
    whoHasAccess(first: 50, after: $after) {
      nodes {
        kind role organizationId emergencyUntil representedActivities representsUntil
        user { id username role } organization { id name }
        accesses { purpose processingActivities recordTypes records until consent { id } exceptions { id username } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const CONSENTS = graphql(`
  query Consents($after: Cursor) {
    consents(first: 50, after: $after) { nodes { ...ConsentParts } pageInfo { hasNextPage endCursor } }
  }
`);
const DOCTORS = graphql(`
  query Doctors($search: String!) { doctors(search: $search, first: 8) { nodes { id username organizations { id name } } } }
`);
const CODES = graphql(`
  query AccessCodes { accessCodes { id purpose dataCategories processingActivities expiresAt } }
`);
const REPRESENTATIVES = graphql(`
  query MyRepresentatives {
    myRepresentatives(first: 50) { nodes { id relationship activities validFrom validUntil isInForce endedAt representative { id username } } }
  }
`);
const GRANT = graphql(`
  mutation GrantConsent($input: GrantConsentInput!) { grantConsent(input: $input) { consent { ...ConsentParts } userErrors { code field message } } }
`);
const WITHDRAW = graphql(`
  mutation WithdrawConsent($input: WithdrawConsentInput!) {
    withdrawConsent(input: $input) { consent { ...ConsentParts } remaining { id purpose } userErrors { code field message } }
  }
`);
const CREATE_CODE = graphql(`
  mutation CreateAccessCode($input: CreateAccessCodeInput!) {
    createAccessCode(input: $input) { code accessCode { id purpose dataCategories processingActivities expiresAt } userErrors { code field message } }
  }
`);
const CANCEL_CODE = graphql(`
  mutation CancelAccessCode($input: CancelAccessCodeInput!) { cancelAccessCode(input: $input) { accessCode { id } userErrors { code field message } } }
`);
const END_REPRESENTATION = graphql(`
  mutation EndRepresentation($input: EndRepresentationInput!) { endRepresentation(input: $input) { representative { id endedAt isInForce } userErrors { code field message } } }
`);

interface Terms {
  readonly purpose: PurposeOfUse;
  readonly dataCategories: DataCategory[];
  readonly processingActivities: ProcessingActivity[];
  readonly days: string;
}

const USUAL: Terms = { purpose: 'TREAT', dataCategories: ['ALL_RECORDS'], processingActivities: ['READ', 'SEARCH', 'CREATE', 'AMEND'], days: '365' };

const termsInput = ({ days, ...terms }: Terms) => ({
  ...terms,
  expiresAt: days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : null,
});

export default function Access() {
  const [terms, setTerms] = useState(USUAL);
  return (
    <Page title={t('Access')} lead={t('Who may see and write your records, and who no longer.')}>
      <Give terms={terms} onTerms={setTerms} />
      <Holders />
      <Codes terms={terms} />
      <Representatives />
      <ConsentsList />
    </Page>
  );
}

function Give({ terms, onTerms }: { terms: Terms; onTerms: (terms: Terms) => void }) {
  const [search, setSearch] = useState('');
  const [given, setGiven] = useState<string>();
  const asked = search.trim();
  const [doctors] = useQuery({ query: DOCTORS, variables: { search: asked }, pause: asked.replace(/[^\p{L}\p{N}]/gu, '').length < 2 });
  const [{ error, fetching }, grant] = useMutation(GRANT);
  const give = async (id: string, name: string) => {
    const { data } = await grant({ input: { ...termsInput(terms), grantees: [{ user: id }] } });
    if (data?.grantConsent) setGiven(name);
  };
  const found = asked ? doctors.data?.doctors?.nodes : undefined;
  return (
    <Card title={t('Let a doctor in')}>
      <Field type="search" label={t('Name of the doctor')} value={search} hint={t('At least two letters')} onChange={setSearch} />
      <ul className="plain pick" aria-live="polite">
        {found?.map((doctor) => (
          <li key={doctor.id}>
            <span>{doctor.username} <span className="small">{doctor.organizations.map((each) => each.name).join(', ')}</span></span>
            <Button kind="main" isPending={fetching} aria-label={t('Let {0} in', doctor.username)} onPress={() => give(doctor.id, doctor.username)}>{t('Let in')}</Button>
          </li>
        ))}
        {found?.length === 0 ? <li><Empty>{t('There is no such doctor.')}</Empty></li> : null}
      </ul>
      {given ? <Notice kind="good">{t('{0} has access now.', given)}</Notice> : null}
      <Failure error={error ?? doctors.error} />
      <details>
        <summary>{termsText(terms)}</summary>
        <TermsForm terms={terms} onChange={onTerms} />
      </details>
    </Card>
  );
}

const termsText = (terms: Terms): string =>
  [purpose(terms.purpose), terms.dataCategories.map(dataCategory).join(', '), terms.processingActivities.map(activity).join(', '), terms.days ? t('for {0} days', terms.days) : t('without an end')].join(' · ');

function TermsForm({ terms, onChange }: { terms: Terms; onChange: (terms: Terms) => void }) {
  return (
    <>
      <div className="row">
        <Choice label={t('What for')} value={terms.purpose} onChange={(next) => onChange({ ...terms, purpose: next })} options={(['TREAT', 'COC', 'HRESCH', 'CLINTRL', 'HPAYMT'] as const).map((each) => [each, purpose(each)] as const)} />
        <Choice label={t('How long')} value={terms.days} onChange={(days) => onChange({ ...terms, days })} options={[['1', t('One day')], ['7', t('One week')], ['30', t('One month')], ['365', t('One year')], ['', t('Until I end it')]]} />
      </div>
      <Choices<DataCategory> label={t('Which records')} value={terms.dataCategories} onChange={(next) => onChange({ ...terms, dataCategories: onlyAll(terms.dataCategories, next) })} options={[['ALL_RECORDS', t('All records')], ...RECORD_TYPES.map((each) => [each, recordType(each)] as const)]} />
      <Choices<ProcessingActivity> label={t('What may be done')} value={terms.processingActivities} onChange={(next) => onChange({ ...terms, processingActivities: next })} options={(['READ', 'SEARCH', 'CREATE', 'AMEND', 'EXPORT', 'TRANSFER'] as const).map((each) => [each, activity(each)] as const)} />
    </>
  );
}

/** All records, or some types: not both. */
function onlyAll(before: readonly DataCategory[], next: DataCategory[]): DataCategory[] {
  if (next.includes('ALL_RECORDS') && !before.includes('ALL_RECORDS')) return ['ALL_RECORDS'];
  return next.length > 1 ? next.filter((each) => each !== 'ALL_RECORDS') : next;
}

type Holder = NonNullable<WhoHasAccessQuery['whoHasAccess']>['nodes'][number];

function Holders() {
  const [result] = useQuery({ query: WHO_HAS_ACCESS, variables: { after: null } });
  const page = result.data?.whoHasAccess;
  return (
    <Card title={t('Who has access now')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: page ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('Nobody but you.')}</Empty> : null}
            <ul className="plain holders">{found.nodes.map((holder, index) => <HolderItem key={index} of={holder} />)}</ul>
            {found.pageInfo.hasNextPage ? <Notice kind="warn">{t('There are more than are shown here: see the consents below.')}</Notice> : null}
          </>
        )}
      </Loaded>
    </Card>
  );
}

function HolderItem({ of }: { of: Holder }) {
  const name = of.user?.username ?? (of.role ? t('Everybody who is: {0}', role(of.role)) : (of.organization?.name ?? t('An organisation')));
  const consents = [...new Set(of.accesses.flatMap((access) => (access.consent ? [access.consent.id] : [])))];
  return (
    <li>
      <div>
        <strong>{name}</strong>
        {of.emergencyUntil ? <Tag kind="bad">{t('emergency access until {0}', time(of.emergencyUntil))}</Tag> : null}
        {of.representsUntil ? <Tag kind="warn">{t('represents you until {0}', time(of.representsUntil))}: {of.representedActivities.map(representedActivity).join(', ')}</Tag> : null}
        {of.accesses.map((access, index) => (
          <p className="small" key={index}>
            {purpose(access.purpose)}: {access.processingActivities.map(activity).join(', ')} · {access.recordTypes.length === RECORD_TYPES.length ? t('All records') : access.recordTypes.map(recordType).join(', ')} ({access.records})
            {access.until ? ` · ${t('until {0}', time(access.until))}` : ''}
            {access.exceptions.length > 0 ? ` · ${t('but not {0}', access.exceptions.map((each) => each.username).join(', '))}` : ''}
          </p>
        ))}
      </div>
      {consents.length > 0 ? <TakeAway name={name} consents={consents} /> : null}
    </li>
  );
}

function TakeAway({ name, consents }: { name: string; consents: readonly string[] }) {
  const [, withdraw] = useMutation(WITHDRAW);
  return (
    <Confirm
      kind="danger"
      label={t('Take access away')}
      title={t('Take access away from {0}?', name)}
      text={<p>{t('It ends at once. Consents that are withdrawn: {0}. Whoever else they let in loses it, too.', consents.length)}</p>}
      action={async () => {
        for (const id of consents) {
          const { error } = await withdraw({ input: { id } });
          if (error) return error;
        }
        return undefined;
      }}
    />
  );
}

function Codes({ terms }: { terms: Terms }) {
  const [codes] = useQuery({ query: CODES });
  const [created, create] = useMutation(CREATE_CODE);
  const [, cancel] = useMutation(CANCEL_CODE);
  const made = complete(created.data?.createAccessCode);
  return (
    <Card title={t('Access by a code')} actions={<Button isPending={created.fetching} onPress={() => create({ input: termsInput(terms) })}>{t('Make a code')}</Button>}>
      <p>{t('Tell it to your doctor: whoever types it within 15 minutes is let in, once.')} <span className="small">{termsText(terms)}</span></p>
      {made ? <Notice kind="good"><span className="big-code" data-testid="access-code">{made.code}</span> {t('until {0}', time(made.accessCode.expiresAt))}</Notice> : null}
      <Failure error={created.error} />
      <ul className="plain">
        {codes.data?.accessCodes?.map((code) => (
          <li key={code.id} className="between">
            <span>{purpose(code.purpose)}, {code.dataCategories.map(dataCategory).join(', ')} · {t('until {0}', time(code.expiresAt))}</span>
            <Button kind="quiet" onPress={() => cancel({ input: { id: code.id } })}>{t('Cancel this code')}</Button>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Representatives() {
  const [result] = useQuery({ query: REPRESENTATIVES });
  const [, end] = useMutation(END_REPRESENTATION);
  const nodes = result.data?.myRepresentatives?.nodes ?? [];
  if (nodes.length === 0) return null;
  return (
    <Card title={t('Who acts for you')}>
      <ul className="plain">
        {nodes.map((each) => (
          <li key={each.id} className="between">
            <span>{each.representative.username} ({relationship(each.relationship)}): {each.activities.map(representedActivity).join(', ')} · {t('until {0}', time(each.validUntil))} {each.isInForce ? null : <Tag>{t('ended')}</Tag>}</span>
            {each.isInForce ? <Confirm kind="danger" label={t('End it')} title={t('End it?')} text={each.representative.username} action={async () => (await end({ input: { id: each.id } })).error} /> : null}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function ConsentsList() {
  const [result] = useQuery({ query: CONSENTS, variables: { after: null } });
  return (
    <Card title={t('All consents')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.consents ?? undefined }}>
        {(found) => (
          <ul className="plain">
            {found.nodes.map((consent) => (
              <li key={consent.id} className="between">
                <span>
                  {consent.grantees.map((each) => each.user?.username ?? (each.role ? role(each.role) : each.organization?.name) ?? '–').join(', ')}
                  {consent.processingActivities.includes('DENY') ? <Tag kind="bad">{activity('DENY')}</Tag> : ` · ${consent.processingActivities.map(activity).join(', ')}`}
                  <span className="small"> {purpose(consent.purpose)} · {consent.dataCategories.map(dataCategory).join(', ')} · {t('given {0}', time(consent.givenAt))}{consent.expiresAt ? ` · ${t('until {0}', time(consent.expiresAt))}` : ''}</span>
                </span>
                {consent.isActive ? <TakeAway name={consent.grantees.map((each) => each.user?.username ?? '').join(', ')} consents={[consent.id]} /> : <Tag>{consent.withdrawnAt ? t('withdrawn {0}', time(consent.withdrawnAt)) : t('ended')}</Tag>}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}
