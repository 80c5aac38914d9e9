// Legal holds: what is kept whatever anybody asks for, placing one, and releasing it by two administrators.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { DataCategory, HoldPartsFragment } from '../gql/graphql';
import { Button, Card, Confirm, DialogTrigger, Empty, Facts, Failure, Field, Form, Loaded, Notice, Pager, Popup, Tag, usePaging } from '../ui';
import { AccountChoice, type Chosen } from '../ui/account-choice';
import { Categories } from '../ui/categories';
import { t, time } from '../words';
import { dataCategory } from '../words/labels';

graphql(`
  fragment HoldParts on LegalHold { id patient { id username } dataCategories recordIds reason placer { id username } placedAt releaseProposedBy releasedAt }
`);
const HOLDS = graphql(`
  query Holds($after: Cursor) { legalHolds(first: 20, after: $after) { nodes { ...HoldParts } pageInfo { hasNextPage endCursor } } }
`);
const PLACE = graphql(`
  mutation PlaceHold($input: PlaceHoldInput!) { placeHold(input: $input) { hold { ...HoldParts } userErrors { code field message } } }
`);
const RELEASE = graphql(`
  mutation ReleaseHold($input: ReleaseHoldInput!) { releaseHold(input: $input) { isReleased hold { ...HoldParts } userErrors { code field message } } }
`);

export function Holds() {
  const paging = usePaging();
  const [result] = useQuery({ query: HOLDS, variables: { after: paging.after } });
  return (
    <Card title={t('Legal holds')} actions={<Place />}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.legalHolds ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('Nothing is held.')}</Empty> : null}
            <ul className="plain holds">{found.nodes.map((each) => <HoldItem key={each.id} of={each} />)}</ul>
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

function HoldItem({ of }: { of: HoldPartsFragment }) {
  const [, release] = useMutation(RELEASE);
  const me = session.get()?.person.id;
  const isProposed = of.releaseProposedBy !== null && of.releasedAt === null;
  const isMine = of.releaseProposedBy === me;
  return (
    <li data-state={of.releasedAt ? 'released' : isProposed ? 'proposed' : 'in-force'}>
      <div className="between">
        <span>
          <strong>{of.dataCategories.map(dataCategory).join(', ') || t('Single records')}</strong>{' '}
          {of.releasedAt ? <Tag>{t('released {0}', time(of.releasedAt))}</Tag> : <Tag kind="warn">{t('in force')}</Tag>}
        </span>
        {of.releasedAt || isMine ? null : (
          <Confirm
            kind="danger"
            label={isProposed ? t('Release it, too') : t('Release it …')}
            title={t('Release the hold?')}
            text={<p>{isProposed ? t('Another administrator has asked for it: with you it is released, and requests that it covered go on.') : t('Another administrator has to release it, too.')}</p>}
            action={async () => (await release({ input: { id: of.id } })).error}
          />
        )}
      </div>
      {isProposed ? <Notice kind="warn">{isMine ? t('You have asked to release it; another administrator has to, too.') : t('One administrator has asked to release it; another one has to, too.')}</Notice> : null}
      <Facts of={[
        [t('Reason'), of.reason],
        [t('Whose'), of.patient.username],
        [t('Records'), of.recordIds.length > 0 ? of.recordIds.map((id) => <code key={id}>{id} </code>) : null],
        [t('Placed'), `${time(of.placedAt)}, ${of.placer.username}`],
      ]} />
    </li>
  );
}

function Place() {
  const [patient, setPatient] = useState<Chosen>();
  const [categories, setCategories] = useState<DataCategory[]>(['ALL_RECORDS']);
  const [records, setRecords] = useState('');
  const [reason, setReason] = useState('');
  const [{ error, fetching }, place] = useMutation(PLACE);
  const recordIds = records.split(/[\s,;]+/).filter(Boolean);
  const submit = async (close: () => void) => {
    if (!patient) return;
    const input = { patientId: patient.id, reason, ...(recordIds.length > 0 ? { recordIds } : { dataCategories: categories }) };
    if (!(await place({ input })).data?.placeHold) return;
    setPatient(undefined);
    setRecords('');
    setReason('');
    close();
  };
  return (
    <DialogTrigger>
      <Button>{t('Place a hold …')}</Button>
      <Popup title={t('Place a legal hold')}>
        {(close) => (
          <Form error={error} onSubmit={(event) => { event.preventDefault(); void submit(close); }}>
            <p>{t('What it covers is not erased while it is in force, also where that has begun.')}</p>
            <AccountChoice label={t('Whose data')} name="patientId" value={patient} onChange={setPatient} />
            {recordIds.length > 0 ? null : <Categories name="dataCategories" value={categories} onChange={setCategories} />}
            <Field label={t('Or single records, by their IDs')} name="recordIds" value={records} hint={t('At most 100, one beside the other')} onChange={setRecords} />
            <Field label={t('Reason')} name="reason" value={reason} isRequired rows={2} minLength={10} maxLength={500} hint={t('10 to 500 characters, for administrators alone')} onChange={setReason} />
            <Failure error={error} />
            <div className="actions">
              <Button type="submit" kind="main" isPending={fetching} isDisabled={!patient || (recordIds.length === 0 && categories.length === 0)}>{t('Place it')}</Button>
              <Button onPress={close}>{t('Do nothing')}</Button>
            </div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}
