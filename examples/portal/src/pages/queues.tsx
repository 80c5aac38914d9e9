// What administrators decide: requests to erase, and emergency accesses.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { useKept } from '../api/place';
import { graphql } from '../gql';
import type { BreakGlassDecision, BreakGlassReviewStatus, BreakGlassReviewsQuery, DataDeletionRequest, DeletionDecision, DeletionStatus } from '../gql/graphql';
import { Button, Card, Check, Choice, DialogTrigger, Empty, Facts, Failure, Field, Form, Loaded, Notice, Page, Pager, Popup, Tag, usePaging } from '../ui';
import { Tabs } from '../ui/tabs';
import { t, time } from '../words';
import { DELETION_STATUSES, REVIEW_STATUSES, dataCategory, decision as decisionWord, deletionStatus, deletionType, purpose, reviewStatus } from '../words/labels';
import { Holds } from './holds';
import { Scope } from './my-data';

const QUEUE = graphql(`
  query DeletionQueue($status: DeletionStatus!, $after: Cursor) {
    deletionQueue(status: $status, first: 20, after: $after) { nodes { ...DeletionParts } pageInfo { hasNextPage endCursor } }
  }
`);
const REVIEW = graphql(`
  mutation ReviewDeletion($input: ReviewDeletionInput!) { reviewDeletion(input: $input) { request { ...DeletionParts } userErrors { code field message } } }
`);
const GLASS = graphql(`
  query BreakGlassReviews($status: BreakGlassReviewStatus, $after: Cursor) {
    breakGlassReviews(status: $status, first: 20, after: $after) {
      nodes {
        isAsSealed disclosures recordsDisclosed recordsPerHour
        window { id purpose reason openedAt expiresAt closedAt isOpen reviewStatus decision note doctor { id username } patient { id username } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const REVIEW_GLASS = graphql(`
  mutation ReviewBreakGlass($input: ReviewBreakGlassInput!) { reviewBreakGlass(input: $input) { review { window { id reviewStatus decision } } userErrors { code field message } } }
`);

export default function Queues() {
  const [tab, setTab] = useKept('tab', 'deletion');
  return (
    <Page title={t('To decide')}>
      <Tabs label={t('To decide')} value={tab} onChange={setTab} of={[
        ['deletion', t('Erasure'), <Deletions key="deletion" />],
        ['emergency', t('Emergency access'), <Emergencies key="emergency" />],
        ['holds', t('Legal holds'), <Holds key="holds" />],
      ]} />
    </Page>
  );
}

function Deletions() {
  const [status, setStatus] = useState<DeletionStatus>('UNDER_REVIEW');
  const paging = usePaging(status);
  const [result, again] = useQuery({ query: QUEUE, variables: { status, after: paging.after } });
  return (
    <Card>
      <Choice<DeletionStatus> label={t('Status')} value={status} onChange={setStatus} options={DELETION_STATUSES.map((each) => [each, deletionStatus(each)] as const)} />
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.deletionQueue ?? undefined }}>
        {(found) => (found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : (
          <><ul className="plain requests">
            {found.nodes.map((each) => (
              <li key={each.id}>
                <p><strong>{each.subject.username}</strong>: {[deletionType(each.requestType), each.dataCategories.map(dataCategory).join(', ')].filter(Boolean).join(': ')} <Tag>{deletionStatus(each.status)}</Tag> <span className="small">{time(each.requestedAt)}</span></p>
                <Scope of={each.scope} />
                {each.firstApprovalBy ? <Notice kind="warn">{t('One administrator has approved it; another one has to.')}</Notice> : null}
                {each.status === 'UNDER_REVIEW' ? <Decide of={each as DataDeletionRequest} done={() => again({ requestPolicy: 'network-only' })} /> : null}
              </li>
            ))}
          </ul><Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} /></>
        ))}
      </Loaded>
    </Card>
  );
}

function Decide({ of, done }: { of: DataDeletionRequest; done: () => void }) {
  const [decision, setDecision] = useState<DeletionDecision>('APPROVE');
  const [reason, setReason] = useState('');
  const [isOverride, setOverride] = useState(false);
  const [{ error, fetching }, review] = useMutation(REVIEW);
  const kept = of.scope.reduce((sum, each) => sum + each.withinRetention, 0);
  return (
    <DialogTrigger>
      <Button kind="main" aria-label={t('Decide about the request of {0}', of.subject.username)}>{t('Decide')}</Button>
      <Popup title={t('Decide about the request of {0}', of.subject.username)}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            const { data } = await review({ input: { id: of.id, decision, reason, overrideRetention: isOverride } });
            if (!data?.reviewDeletion) return;
            close();
            done();
          }}>
            <Choice<DeletionDecision> label={t('Decision')} value={decision} onChange={setDecision} options={[['APPROVE', t('Approve')], ['REJECT', t('Reject')]]} />
            <Field label={t('Reason')} name="reason" value={reason} isRequired rows={2} onChange={setReason} />
            {kept > 0 && decision === 'APPROVE' ? <Check isSelected={isOverride} onChange={setOverride}>{t('Erase {0} records although they are still to be kept', kept)}</Check> : null}
            <Failure error={error} />
            <div className="actions"><Button type="submit" kind={decision === 'APPROVE' ? 'danger' : 'main'} isPending={fetching}>{t('Decide')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}

type Review = NonNullable<BreakGlassReviewsQuery['breakGlassReviews']>['nodes'][number];

function Emergencies() {
  const [status, setStatus] = useState<BreakGlassReviewStatus | ''>('');
  const paging = usePaging(status);
  const [result] = useQuery({ query: GLASS, variables: { status: status || null, after: paging.after } });
  return (
    <Card>
      <Choice<BreakGlassReviewStatus | ''> label={t('Status')} value={status} onChange={setStatus} options={[['', t('to be reviewed')], ...REVIEW_STATUSES.map((each) => [each, reviewStatus(each)] as const)]} />
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.breakGlassReviews ?? undefined }}>
        {(found) => (found.nodes.length === 0 ? <Empty>{t('There is none.')}</Empty> : <><ul className="plain requests">{found.nodes.map((each) => <ReviewItem key={each.window.id} of={each} />)}</ul><Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} /></>)}
      </Loaded>
    </Card>
  );
}

function ReviewItem({ of }: { of: Review }) {
  const { window } = of;
  const [note, setNote] = useState('');
  const [decision, setDecision] = useState<BreakGlassDecision>('JUSTIFIED');
  const [{ error, fetching }, review] = useMutation(REVIEW_GLASS);
  return (
    <li>
      <p><strong>{window.doctor.username}</strong> · {t('Records of {0}', window.patient.username)} <Tag kind={window.reviewStatus === 'ESCALATED' ? 'bad' : 'plain'}>{window.isOpen ? t('open now') : reviewStatus(window.reviewStatus)}</Tag> {of.isAsSealed ? null : <Tag kind="bad">{t('changed outside the service')}</Tag>}</p>
      <Facts of={[[t('What for'), purpose(window.purpose)], [t('Reason'), window.reason], [t('Time'), `${time(window.openedAt)} – ${time(window.closedAt ?? window.expiresAt)}`], [t('Records shown'), of.recordsDisclosed], [t('Decision'), decisionWord(window.decision)], [t('Note'), window.note]]} />
      {window.isOpen || window.reviewStatus === 'REVIEWED' ? null : (
        <Form error={error} className="inline-form" onSubmit={(event) => { event.preventDefault(); void review({ input: { id: window.id, decision, note: note || null } }); }}>
          <Choice<BreakGlassDecision> label={t('Decision')} value={decision} onChange={setDecision} options={[['JUSTIFIED', t('justified')], ['UNJUSTIFIED', t('unjustified')]]} />
          <Field label={t('Note')} name="note" value={note} onChange={setNote} />
          <Button type="submit" kind="main" isPending={fetching}>{t('Decide')}</Button>
        </Form>
      )}
      <Failure error={error} />
    </li>
  );
}
