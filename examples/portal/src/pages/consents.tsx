// All consents, those that are over among them, and signing one with the linked wallet.
import type { CombinedError } from '@urql/core';
import { useState } from 'react';
import { useClient, useMutation, useQuery } from 'urql';
import { useActing, useOnBehalfOf } from '../api/acting';
import { graphql } from '../gql';
import type { ConsentPartsFragment } from '../gql/graphql';
import { Button, Card, DialogTrigger, Empty, Failure, Loaded, Notice, Pager, Popup, Tag, usePaging } from '../ui';
import { country, t, time } from '../words';
import { activity, dataCategory, purpose, receipt, role } from '../words/labels';
import { TakeAway } from './holders';
import { signTypedData } from './wallet';

graphql(`
  fragment ConsentParts on Consent {
    id purpose dataCategories processingActivities givenAt expiresAt withdrawnAt isActive
    grantees { kind role country user { id username } organization { id name } }
    receipt { signedAt wallet chainState }
  }
`);
const CONSENTS = graphql(`
  query Consents($after: Cursor, $onBehalfOf: UUID) {
    consents(first: 50, after: $after, onBehalfOf: $onBehalfOf) { nodes { ...ConsentParts } pageInfo { hasNextPage endCursor } }
  }
`);
const TO_SIGN = graphql(`
  query ConsentToSign($id: UUID!) { consentToSign(id: $id, kind: GRANT) { typedData wallet deadline } }
`);
const SIGN = graphql(`
  mutation SignConsent($input: SignConsentInput!) { signConsent(input: $input) { consent { ...ConsentParts } userErrors { code field message } } }
`);

export function ConsentsList({ mayChange }: { mayChange: boolean }) {
  const paging = usePaging();
  const [result] = useQuery({ query: CONSENTS, variables: { after: paging.after, ...useOnBehalfOf() } });
  const isActing = useActing() !== null;
  return (
    <Card title={t('All consents')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.consents ?? undefined }}>
        {(found) => (
          <>
            {found.nodes.length === 0 ? <Empty>{t('No consent was given yet.')}</Empty> : null}
            <ul className="plain consents">{found.nodes.map((consent) => <ConsentItem key={consent.id} of={consent} mayChange={mayChange} isOwn={!isActing} />)}</ul>
            <Pager of={paging} info={found.pageInfo} back={t('Newer')} on={t('Older')} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

const nameOf = (of: ConsentPartsFragment['grantees'][number]): string =>
  of.user?.username ?? (of.role ? t('Everybody who is: {0}', role(of.role)) : (of.organization?.name ?? t('An organisation')));

function ConsentItem({ of, mayChange, isOwn }: { of: ConsentPartsFragment; mayChange: boolean; isOwn: boolean }) {
  const names = of.grantees.map(nameOf).join(', ');
  const isRefusal = of.processingActivities.includes('DENY');
  const places = [...new Set(of.grantees.flatMap((each) => (each.country ? [country(each.country)] : [])))];
  return (
    <li className="between">
      <span>
        <strong>{names}</strong>
        {isRefusal ? <> <Tag kind="bad">{activity('DENY')}</Tag></> : ` · ${of.processingActivities.map(activity).join(', ')}`}
        <span className="small besides"> {[purpose(of.purpose), of.dataCategories.map(dataCategory).join(', '), ...places, t('given {0}', time(of.givenAt)), ...(of.expiresAt ? [t('until {0}', time(of.expiresAt))] : [])].join(' · ')}</span>
        {of.receipt?.signedAt ? <Tag kind="good">{t('signed {0}', time(of.receipt.signedAt))}{of.receipt.chainState ? `, ${receipt(of.receipt.chainState)}` : ''}</Tag> : null}
      </span>
      {of.isActive ? (
        <span className="actions">
          {isOwn && window.ethereum && of.receipt && !of.receipt.signedAt ? <Sign id={of.id} name={names} /> : null}
          {mayChange ? <TakeAway name={names} consents={[of.id]} isRefusal={isRefusal} /> : null}
        </span>
      ) : <Tag>{of.withdrawnAt ? t('withdrawn {0}', time(of.withdrawnAt)) : t('ended')}</Tag>}
    </li>
  );
}

function Sign({ id, name }: { id: string; name: string }) {
  const client = useClient();
  const [{ fetching }, sign] = useMutation(SIGN);
  const [error, setError] = useState<CombinedError>();
  const [wrong, setWrong] = useState<string>();
  const act = async (close: () => void) => {
    setWrong(undefined);
    const asked = await client.query(TO_SIGN, { id }, { requestPolicy: 'network-only' }).toPromise();
    setError(asked.error);
    const to = asked.data?.consentToSign;
    if (!to) return;
    const signature = await signTypedData(to.typedData, to.wallet).catch((cause: unknown) => setWrong(cause instanceof Error ? cause.message : String(cause)));
    if (!signature) return;
    const answer = await sign({ input: { id, kind: 'GRANT', deadline: to.deadline, signature } });
    setError(answer.error);
    if (!answer.error) close();
  };
  return (
    <DialogTrigger>
      <Button kind="quiet" aria-label={t('Sign the consent to {0}', name)}>{t('Sign')}</Button>
      <Popup title={t('Sign this consent?')}>
        {(close) => (
          <>
            <p>{t('Your linked wallet confirms that you gave it. That shows to others only where the operator has it written to the blockchain.')}</p>
            {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
            <Failure error={error} />
            <div className="actions"><Button kind="main" isPending={fetching} onPress={() => act(close)}>{t('Sign with the wallet')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </>
        )}
      </Popup>
    </DialogTrigger>
  );
}
