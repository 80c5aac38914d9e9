// Records in the order of what they are about, newest first.
import { useState } from 'react';
import { useQuery } from 'urql';
import { Link } from 'wouter';
import { useOnBehalfOf } from '../api/acting';
import { useReread } from '../api/feed';
import { useKept } from '../api/place';
import type { PurposeOfUse, RecordType } from '../gql/graphql';
import { Button, Choice, Empty, Loaded, Tag } from '../ui';
import { fhirDate, t, time } from '../words';
import { RECORD_TYPES, anchor, recordType } from '../words/labels';
import { useRecordNews } from './follow';
import { RECORDS, remember } from './queries';
import { Modifiers } from './summary';

interface Of {
  patientId?: string;
  purpose?: PurposeOfUse;
}

export function Records({ patientId, purpose }: Of) {
  const [type, setType] = useKept<RecordType | ''>('type', '');
  const [pages, setPages] = useKept<(string | null)[]>('pages', [null]);
  const { latest, count } = useRecordNews(patientId);
  const [seen, setSeen] = useState(0);
  const isOne = pages.length === 1;
  // A page in front of others cannot be read again alone: what it no longer holds would be on none of them.
  const unseen = isOne ? 0 : count - seen;
  return (
    <>
      <Choice<RecordType | ''>
        label={t('Show')}
        value={type}
        onChange={(next) => { setType(next); setPages([null]); }}
        options={[['', t('All records')], ...RECORD_TYPES.map((each) => [each, recordType(each)] as const)]}
      />
      <span className="hidden" role="status">{isOne && count > 0 ? t('Changed while you read: {0}', count) : ''}</span>
      {unseen > 0 ? <p><Button onPress={() => { setSeen(count); setPages([null]); }}>{t('{0} new: go to the newest', unseen)}</Button></p> : null}
      <ol className="timeline">
        {pages.map((after, index) => (
          <RecordsPage
            key={`${type}-${after ?? ''}`}
            after={after}
            type={type}
            {...(patientId ? { patientId } : {})}
            {...(purpose ? { purpose } : {})}
            {...(isOne && latest ? { latest } : {})}
            {...(index === pages.length - 1 ? { more: (cursor: string) => { setSeen(count); setPages([...pages, cursor]); } } : {})}
          />
        ))}
      </ol>
    </>
  );
}

function RecordsPage({ patientId, purpose, type, after, latest, more }: Of & { type: RecordType | ''; after: string | null; latest?: string; more?: (cursor: string) => void }) {
  const [result, again] = useQuery({ query: RECORDS, variables: { patientId: patientId ?? null, purpose: purpose ?? null, types: type ? [type] : null, after, ...useOnBehalfOf() } });
  useReread(latest, again);
  const page = result.data?.medicalRecords;
  if (page) remember(page.nodes);
  const next = page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : undefined;
  const suffix = purpose ? `/as/${purpose}` : '';
  // Where a summary may not be read, the list stands all the same, beside an error that says so.
  return (
    <Loaded of={{ fetching: result.fetching, error: result.error, data: page ?? undefined }}>
      {(found) => (
        <>
          {found.nodes.length === 0 && !after ? <li><Empty>{t('There is no record.')}</Empty></li> : null}
          {found.nodes.map((record) => (
            <li key={record.id}>
              <span className="when">{fhirDate(record.summary?.date ?? record.effectiveAt ?? record.createdAt)}</span>
              <div className="entry">
                <span className="kind">{recordType(record.recordType)}</span>
                <Link href={`/records/${record.id}${suffix}`}>{record.summary?.title ?? t('Open the record')}</Link>
                <span className="tags">
                  {record.isWithdrawn ? <Tag kind="bad">{t('entered in error')}</Tag> : null}
                  {record.version > 1 ? <Tag>{t('version {0}', record.version)}</Tag> : null}
                  {record.completeness === 'INCOMPLETE' ? <Tag kind="warn">{t('incomplete')}</Tag> : null}
                  {record.anchor.state === 'FINALIZED' || record.anchor.state === 'CONFIRMED' ? null : <Tag kind={record.anchor.state === 'FAILED' ? 'bad' : 'plain'}>{anchor(record.anchor.state)}</Tag>}
                  <Modifiers of={record.summary?.unsupportedModifiers ?? []} isShort />
                </span>
                <span className="small">{record.author ? `${t('by {0}', record.author.username)} · ` : ''}{time(record.createdAt)}</span>
              </div>
            </li>
          ))}
          {next && more ? <li><Button onPress={() => more(next)}>{t('Show more')}</Button></li> : null}
        </>
      )}
    </Loaded>
  );
}
