// Who has access, and giving or taking it: press, see what that changes, and confirm. A representative has the
// same page for the patient for whom they act, with what they may do there.
import type { CombinedError } from '@urql/core';
import { useMemo, useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { complete } from '../api/payload';
import { useActing, useOnBehalfOf } from '../api/acting';
import { graphql } from '../gql';
import type { DataCategory, GranteeInput, ProcessingActivity, PurposeOfUse } from '../gql/graphql';
import { Button, Card, Choice, Choices, DialogTrigger, Empty, Failure, Field, Form, Notice, Page, Popup, Tag } from '../ui';
import { Categories } from '../ui/categories';
import { country, t, time } from '../words';
import { activity, dataCategory, purpose } from '../words/labels';
import { ConsentsList } from './consents';
import { Holders } from './holders';
import { Preview, usePreview } from './preview';

const DOCTORS = graphql(`
  query Doctors($search: String!) { doctors(search: $search, first: 8) { nodes { id username organizations { id name } } } }
`);
const ORGANIZATIONS = graphql(`
  query OrganizationsToLetIn($search: String!) { organizations(search: $search, first: 8) { nodes { id name country isActive } } }
`);
const CODES = graphql(`
  query AccessCodes($onBehalfOf: UUID) { accessCodes(onBehalfOf: $onBehalfOf) { id purpose dataCategories processingActivities expiresAt } }
`);
const GRANT = graphql(`
  mutation GrantConsent($input: GrantConsentInput!, $onBehalfOf: UUID) {
    grantConsent(input: $input, onBehalfOf: $onBehalfOf) { consent { ...ConsentParts } userErrors { code field message } }
  }
`);
const CREATE_CODE = graphql(`
  mutation CreateAccessCode($input: CreateAccessCodeInput!, $onBehalfOf: UUID) {
    createAccessCode(input: $input, onBehalfOf: $onBehalfOf) { code accessCode { id purpose dataCategories processingActivities expiresAt } userErrors { code field message } }
  }
`);
const CANCEL_CODE = graphql(`
  mutation CancelAccessCode($input: CancelAccessCodeInput!, $onBehalfOf: UUID) {
    cancelAccessCode(input: $input, onBehalfOf: $onBehalfOf) { accessCode { id } userErrors { code field message } }
  }
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
  const acting = useActing();
  const mayChange = !acting || acting.activities.has('CHANGE_CONSENTS');
  return (
    <Page title={t('Access')} lead={acting ? t('Who may see and write the records of {0}.', acting.patient.username) : t('Who may see and write your records, and who no longer.')} windowTitle={t('Access')}>
      {mayChange ? <Give terms={terms} onTerms={setTerms} /> : null}
      <Holders mayChange={mayChange} />
      <Codes terms={terms} mayChange={mayChange} />
      <ConsentsList mayChange={mayChange} />
    </Page>
  );
}

type Whom = 'doctor' | 'organization';

function Give({ terms, onTerms }: { terms: Terms; onTerms: (terms: Terms) => void }) {
  const [whom, setWhom] = useState<Whom>('doctor');
  const [given, setGiven] = useState<{ name: string; isRefused: boolean }>();
  const [error, setError] = useState<CombinedError>();
  const told: Outcome = { given: (name, isRefused) => { setGiven({ name, isRefused }); setError(undefined); }, refused: (cause) => { setGiven(undefined); setError(cause); } };
  return (
    <Card title={whom === 'doctor' ? t('Let a doctor in') : t('Let an organisation in')}>
      <Choice<Whom> label={t('Whom')} value={whom} onChange={(next) => { setWhom(next); setGiven(undefined); }} options={[['doctor', t('A doctor')], ['organization', t('All doctors of an organisation')]]} />
      {whom === 'doctor' ? <PickDoctor terms={terms} told={told} /> : <PickOrganization terms={terms} told={told} />}
      {given ? <Notice kind={given.isRefused ? 'warn' : 'good'}>{given.isRefused ? t('{0} is refused everything now.', given.name) : t('{0} has access now.', given.name)}</Notice> : null}
      <Failure error={error} />
      <Form error={error} onSubmit={(event) => event.preventDefault()}>
        <details {...(error ? { open: true } : {})}>
          <summary>{termsText(terms)}</summary>
          <TermsForm terms={terms} onChange={onTerms} />
        </details>
      </Form>
    </Card>
  );
}

interface Outcome {
  readonly given: (name: string, isRefused: boolean) => void;
  /** What is to be mended stands at the terms. */
  readonly refused: (error: CombinedError | undefined) => void;
}

interface PickProps {
  readonly terms: Terms;
  readonly told: Outcome;
}

/** Lets somebody in, or refuses them everything, once it was shown what that changes. */
function GiveButton({ grantee, name, isRefused = false, ...of }: PickProps & { grantee: GranteeInput; name: string; isRefused?: boolean }) {
  return (
    <DialogTrigger>
      <Button kind={isRefused ? 'quiet' : 'main'} aria-label={isRefused ? t('Refuse {0}', name) : t('Let in {0}', name)}>{isRefused ? t('Refuse') : t('Let in')}</Button>
      <Popup title={isRefused ? t('Refuse {0} everything?', name) : t('Let {0} in?', name)}>
        {(close) => <GiveNow grantee={grantee} name={name} isRefused={isRefused} close={close} {...of} />}
      </Popup>
    </DialogTrigger>
  );
}

function GiveNow({ grantee, name, isRefused, terms, told, close }: PickProps & { grantee: GranteeInput; name: string; isRefused: boolean; close: () => void }) {
  // As it was shown, so it is given: with the same end.
  const [input] = useState(() => ({ ...termsInput(terms), ...(isRefused ? { processingActivities: ['DENY' as const], expiresAt: null } : {}), grantees: [grantee] }));
  const asked = useMemo(() => ({ grant: input }), [input]);
  const preview = usePreview(asked);
  const [{ fetching, error }, grant] = useMutation(GRANT);
  const acting = useOnBehalfOf();
  const give = async () => {
    const answer = await grant({ input, ...acting });
    if (!answer.data?.grantConsent) return told.refused(answer.error);
    told.given(name, isRefused);
    close();
  };
  return (
    <>
      {isRefused ? null : <p>{termsText(terms)}</p>}
      <Preview of={preview} isGiving />
      <Failure error={error} />
      <div className="actions">
        <Button kind={isRefused ? 'danger' : 'main'} isPending={fetching || preview.fetching} onPress={give}>{isRefused ? t('Refuse') : t('Let in')}</Button>
        <Button onPress={close}>{t('Do nothing')}</Button>
      </div>
    </>
  );
}

const isEnough = (asked: string): boolean => asked.replace(/[^\p{L}\p{N}]/gu, '').length >= 2;

function PickDoctor(of: PickProps) {
  const [search, setSearch] = useState('');
  const asked = search.trim();
  const [doctors] = useQuery({ query: DOCTORS, variables: { search: asked }, pause: !isEnough(asked) });
  const found = isEnough(asked) ? doctors.data?.doctors?.nodes : undefined;
  return (
    <>
      <Field type="search" label={t('Name of the doctor')} value={search} hint={t('At least two letters')} onChange={setSearch} />
      <ul className="plain pick" aria-live="polite">
        {found?.map((doctor) => (
          <li key={doctor.id}>
            <span>{doctor.username} <span className="small">{doctor.organizations.map((each) => each.name).join(', ')}</span></span>
            <span className="actions">
              <GiveButton grantee={{ user: doctor.id }} name={doctor.username} {...of} />
              <GiveButton grantee={{ user: doctor.id }} name={doctor.username} isRefused {...of} />
            </span>
          </li>
        ))}
        {found?.length === 0 ? <li><Empty>{t('There is no such doctor.')}</Empty></li> : null}
      </ul>
      <Failure error={doctors.error} />
    </>
  );
}

function PickOrganization(of: PickProps) {
  const [search, setSearch] = useState('');
  const asked = search.trim();
  const [organizations] = useQuery({ query: ORGANIZATIONS, variables: { search: asked }, pause: !isEnough(asked) });
  const found = isEnough(asked) ? organizations.data?.organizations?.nodes.filter((each) => each.isActive) : undefined;
  return (
    <>
      <Field type="search" label={t('Name of the organisation')} value={search} hint={t('At least two letters')} onChange={setSearch} />
      <ul className="plain pick" aria-live="polite">
        {found?.map(({ id, name, country: where }) => (
          <li key={id}>
            <span>{name} <Tag>{country(where)}</Tag></span>
            <GiveButton grantee={{ organization: { id, country: where } }} name={name} {...of} />
          </li>
        ))}
        {found?.length === 0 ? <li><Empty>{t('There is no such organisation.')}</Empty></li> : null}
      </ul>
      <Failure error={organizations.error} />
    </>
  );
}

const termsText = (terms: Terms): string =>
  [purpose(terms.purpose), terms.dataCategories.map(dataCategory).join(', '), terms.processingActivities.map(activity).join(', '), terms.days ? t('for {0} days', terms.days) : t('without an end')].join(' · ');

function TermsForm({ terms, onChange }: { terms: Terms; onChange: (terms: Terms) => void }) {
  return (
    <>
      <div className="row">
        <Choice label={t('What for')} name="purpose" value={terms.purpose} onChange={(next) => onChange({ ...terms, purpose: next })} options={(['TREAT', 'COC', 'HRESCH', 'CLINTRL', 'HPAYMT'] as const).map((each) => [each, purpose(each)] as const)} />
        <Choice label={t('How long')} name="expiresAt" value={terms.days} onChange={(days) => onChange({ ...terms, days })} options={[['1', t('One day')], ['7', t('One week')], ['30', t('One month')], ['365', t('One year')], ['', t('Until I end it')]]} />
      </div>
      <Categories name="dataCategories" value={terms.dataCategories} onChange={(next) => onChange({ ...terms, dataCategories: next })} />
      <Choices<ProcessingActivity> label={t('What may be done')} name="processingActivities" value={terms.processingActivities} onChange={(next) => onChange({ ...terms, processingActivities: next })} options={(['READ', 'SEARCH', 'CREATE', 'AMEND', 'EXPORT', 'TRANSFER'] as const).map((each) => [each, activity(each)] as const)} />
    </>
  );
}

function Codes({ terms, mayChange }: { terms: Terms; mayChange: boolean }) {
  const acting = useOnBehalfOf();
  const [codes] = useQuery({ query: CODES, variables: acting });
  const [created, create] = useMutation(CREATE_CODE);
  const [cancelled, cancel] = useMutation(CANCEL_CODE);
  const made = complete(created.data?.createAccessCode);
  const nodes = codes.data?.accessCodes;
  // A list that was asked for before the code was made does not have it yet: only one that has left the list is used, cancelled or expired.
  const [listed, setListed] = useState<string>();
  const isListed = made !== undefined && nodes?.some((each) => each.id === made.accessCode.id) === true;
  if (isListed && listed !== made.accessCode.id) {
    setListed(made.accessCode.id);
  }
  const isShown = made !== undefined && (isListed || listed !== made.accessCode.id);
  return (
    <Card title={t('Access by a code')} actions={mayChange ? <Button isPending={created.fetching} onPress={() => create({ input: termsInput(terms), ...acting })}>{t('Make a code')}</Button> : null}>
      <p>{t('Tell it to your doctor: whoever types it within 15 minutes is let in, once.')} <span className="small">{termsText(terms)}</span></p>
      {isShown ? <Notice kind="good"><span className="big-code" data-testid="access-code">{made.code}</span> {t('until {0}', time(made.accessCode.expiresAt))}</Notice> : null}
      <Failure error={created.error ?? cancelled.error ?? codes.error} />
      {nodes?.length === 0 ? <Empty>{t('No code is open.')}</Empty> : null}
      <ul className="plain">
        {nodes?.map((code) => (
          <li key={code.id} className="between">
            <span>{purpose(code.purpose)}, {code.dataCategories.map(dataCategory).join(', ')} · {t('until {0}', time(code.expiresAt))}</span>
            {mayChange ? <Button kind="quiet" onPress={() => cancel({ input: { id: code.id }, ...acting })}>{t('Cancel this code')}</Button> : null}
          </li>
        ))}
      </ul>
    </Card>
  );
}
