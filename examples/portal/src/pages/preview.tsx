// What a consent would change before it is given or taken back: who could do what more, or no longer, with how many records.
import { useQuery } from 'urql';
import { useOnBehalfOf } from '../api/acting';
import { graphql } from '../gql';
import type { HolderPartsFragment, PreviewConsentInput } from '../gql/graphql';
import { Failure, Notice } from '../ui';
import { t, time } from '../words';
import { RECORD_TYPES, activity, purpose, recordType, role } from '../words/labels';

graphql(`
  fragment HolderParts on AccessHolder {
    kind role user { id username } organization { id name }
    accesses { purpose processingActivities recordTypes records until exceptions { id username } }
  }
`);
const PREVIEW = graphql(`
  query ConsentPreview($input: PreviewConsentInput!, $onBehalfOf: UUID) {
    previewConsent(input: $input, onBehalfOf: $onBehalfOf) { consent { id } gainingCount losingCount gaining { ...HolderParts } losing { ...HolderParts } }
  }
`);

/** So many are shown at once: the button below them stays in reach. */
const SHOWN = 5;

/** Asks anew each time: what was so a while ago says nothing of now. The input has to stay the same object. */
export function usePreview(input: PreviewConsentInput) {
  const [{ data, error, fetching, stale }] = useQuery({ query: PREVIEW, variables: { input, ...useOnBehalfOf() }, requestPolicy: 'network-only' });
  return { found: fetching || stale ? undefined : data?.previewConsent, error, fetching: fetching || stale };
}

export function Preview({ of: { found, error, fetching }, isGiving }: { of: ReturnType<typeof usePreview>; isGiving: boolean }) {
  if (fetching) return <p role="status" className="waiting">{t('Looking what it would change …')}</p>;
  if (!found) return <Failure error={error} />;
  const isNothing = found.gainingCount === 0 && found.losingCount === 0;
  return (
    <div className="preview" data-testid="preview">
      {isGiving && found.consent ? <Notice>{t('You have given exactly this consent already.')}</Notice> : null}
      {isNothing ? <p>{t('Nobody could do more or less than now.')}</p> : null}
      <Holders title={t('Who gains access ({0})', found.gainingCount)} count={found.gainingCount} of={found.gaining} />
      <Holders title={t('Who loses access ({0})', found.losingCount)} count={found.losingCount} of={found.losing} />
    </div>
  );
}

function Holders({ title, count, of }: { title: string; count: number; of: readonly HolderPartsFragment[] }) {
  if (count === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <HolderList of={of.slice(0, SHOWN)} />
      {count > SHOWN ? <details><summary>{t('and {0} more', count - SHOWN)}</summary><HolderList of={of.slice(SHOWN)} /></details> : null}
    </>
  );
}

function HolderList({ of }: { of: readonly HolderPartsFragment[] }) {
  return <ul className="plain">{of.map((each, index) => <li key={index}><strong>{holderName(each)}</strong>{each.accesses.map((access, at) => <p className="small" key={at}>{accessText(access)}</p>)}</li>)}</ul>;
}

export const holderName = (of: Pick<HolderPartsFragment, 'user' | 'role' | 'organization'>): string =>
  of.user?.username ?? (of.role ? t('Everybody who is: {0}', role(of.role)) : (of.organization?.name ?? t('An organisation')));

/** What somebody may do, with how many records. */
export const accessText = (of: HolderPartsFragment['accesses'][number]): string =>
  [
    `${purpose(of.purpose)}: ${of.processingActivities.map(activity).join(', ')}`,
    `${of.recordTypes.length === RECORD_TYPES.length ? t('All records') : of.recordTypes.map(recordType).join(', ')} (${of.records})`,
    ...(of.until ? [t('until {0}', time(of.until))] : []),
    ...(of.exceptions.length > 0 ? [t('but not {0}', of.exceptions.map((each) => each.username).join(', '))] : []),
  ].join(' · ');
