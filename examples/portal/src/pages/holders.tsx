// Who has access now, by which consents, and taking it away.
import { useMemo } from 'react';
import { useMutation, useQuery } from 'urql';
import { useOnBehalfOf } from '../api/acting';
import { graphql } from '../gql';
import type { WhoHasAccessQuery } from '../gql/graphql';
import { Card, Confirm, Empty, Loaded, Pager, Tag, usePaging } from '../ui';
import { t, time } from '../words';
import { representedActivity } from '../words/labels';
import { Preview, accessText, holderName, usePreview } from './preview';

const WHO_HAS_ACCESS = graphql(`
  query WhoHasAccess($after: Cursor, $onBehalfOf: UUID) {
    whoHasAccess(first: 50, after: $after, onBehalfOf: $onBehalfOf) {
      nodes {
        kind role organizationId emergencyUntil representedActivities representsUntil
        user { id username role } organization { id name }
        accesses { purpose processingActivities recordTypes records until consent { id } exceptions { id username } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
const WITHDRAW = graphql(`
  mutation WithdrawConsent($input: WithdrawConsentInput!, $onBehalfOf: UUID) {
    withdrawConsent(input: $input, onBehalfOf: $onBehalfOf) { consent { ...ConsentParts } remaining { id purpose } userErrors { code field message } }
  }
`);

type Holder = NonNullable<WhoHasAccessQuery['whoHasAccess']>['nodes'][number];

export function Holders({ mayChange }: { mayChange: boolean }) {
  const paging = usePaging();
  const [result] = useQuery({ query: WHO_HAS_ACCESS, variables: { after: paging.after, ...useOnBehalfOf() } });
  const isFirst = paging.afters.length === 0;
  return (
    <Card title={t('Who has access now')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.whoHasAccess ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 && isFirst && !found.pageInfo.hasNextPage ? <Empty>{t('Nobody but you.')}</Empty> : null}
            <ul className="plain holders">{found.nodes.map((holder, index) => <HolderItem key={index} of={holder} mayChange={mayChange} />)}</ul>
            <Pager of={paging} info={found.pageInfo} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

function HolderItem({ of, mayChange }: { of: Holder; mayChange: boolean }) {
  const name = holderName(of);
  const consents = [...new Set(of.accesses.flatMap((access) => (access.consent ? [access.consent.id] : [])))];
  return (
    <li>
      <div>
        <strong>{name}</strong>
        {of.emergencyUntil ? <Tag kind="bad">{t('emergency access until {0}', time(of.emergencyUntil))}</Tag> : null}
        {of.representsUntil ? <Tag kind="warn">{t('represents you until {0}', time(of.representsUntil))}: {of.representedActivities.map(representedActivity).join(', ')}</Tag> : null}
        {of.accesses.map((access, index) => <p className="small" key={index}>{accessText(access)}</p>)}
      </div>
      {mayChange && consents.length > 0 ? <TakeAway name={name} consents={consents} /> : null}
    </li>
  );
}

export function TakeAway({ name, consents, isRefusal = false }: { name: string; consents: readonly string[]; isRefusal?: boolean }) {
  const [, withdraw] = useMutation(WITHDRAW);
  const acting = useOnBehalfOf();
  // Several consents may permit the same: what each of them alone changes says nothing of all.
  const only = consents.length === 1 ? consents[0] : undefined;
  return (
    <Confirm
      kind={isRefusal ? 'plain' : 'danger'}
      label={isRefusal ? t('Lift the refusal') : t('Take access away')}
      title={isRefusal ? t('Refuse {0} no longer?', name) : t('Take access away from {0}?', name)}
      text={<><p>{isRefusal ? t('Then what other consents let them do is permitted again.') : t('It ends at once. Consents that are withdrawn: {0}. Whoever else they let in loses it, too.', consents.length)}</p>{only === undefined ? null : <TakePreview id={only} />}</>}
      action={async () => {
        for (const id of consents) {
          const { error } = await withdraw({ input: { id }, ...acting });
          if (error) return error;
        }
        return undefined;
      }}
    />
  );
}

function TakePreview({ id }: { id: string }) {
  const input = useMemo(() => ({ withdraw: { id } }), [id]);
  return <Preview of={usePreview(input)} isGiving={false} />;
}
