// How vital signs and laboratory values went. What cannot be drawn without saying something else than the document
// is not drawn: withdrawn values, values of somebody else, `< 5`, and values without a time stand in the table alone.
import type { CombinedError, OperationResult } from '@urql/core';
import { lazy, Suspense, useEffect, useMemo, useState } from 'react';
import { useClient } from 'urql';
import { Link } from 'wouter';
import { useOnBehalfOf } from '../api/acting';
import type { LabTrendsQuery, PurposeOfUse, VitalTrendsQuery, VitalTrendsQueryVariables } from '../gql/graphql';
import { Card, Empty, Loaded, Notice, Table, Tag } from '../ui';
import { fhirDate, t } from '../words';
import { LAB_TRENDS, VITAL_TRENDS } from './queries';
import { rangeText, valueOf } from './summary';
import { type Nodes, type Trend, boundsOf, latestOf, trendsOf } from './trend-values';

const Chart = lazy(() => import('./chart'));

export function Trends({ patientId, purpose }: { patientId?: string; purpose?: PurposeOfUse }) {
  const { nodes, hasMore, error, fetching } = useMeasured(patientId ?? null, purpose ?? null);
  const trends = useMemo(() => trendsOf(nodes), [nodes]);
  const isEmpty = trends.length === 0;
  return (
    <Loaded of={{ data: isEmpty && fetching ? undefined : trends, error, fetching }}>
      {(found) => (
        <>
          {hasMore ? <Notice kind="warn">{t('There is more than is drawn here: see the records themselves.')}</Notice> : null}
          {nodes.some((node) => (node.summary?.unsupportedModifiers.length ?? 0) > 0) ? (
            <Notice kind="warn">{t('Some of these documents say more than a value: they are marked in the tables.')}</Notice>
          ) : null}
          {isEmpty && !error ? <Empty>{t('There are no measured values yet.')}</Empty> : null}
          <div className="grid">{found.map((trend) => <TrendCard key={trend.key} of={trend} marked={marked(nodes)} suffix={purpose ? `/as/${purpose}` : ''} />)}</div>
        </>
      )}
    </Loaded>
  );
}

/** How many pages are read of vital signs, and of laboratory results. */
const READ = [
  { query: VITAL_TRENDS, pages: 5 },
  { query: LAB_TRENDS, pages: 5 },
] as const;

interface Measurements {
  readonly nodes: Nodes;
  readonly hasMore: boolean;
  readonly fetching: boolean;
  readonly error?: CombinedError | undefined;
}

type Answer = OperationResult<VitalTrendsQuery | LabTrendsQuery>;

function useMeasured(patientId: string | null, purpose: PurposeOfUse | null): Measurements {
  const client = useClient();
  const { onBehalfOf } = useOnBehalfOf();
  const [found, setFound] = useState<Measurements>({ nodes: [], hasMore: false, fetching: true });
  useEffect(() => {
    let isOver = false;
    const read = async () => {
      const nodes: Nodes = [];
      let hasMore = false;
      for (const { query, pages } of READ) {
        let after: string | null = null;
        for (let page = 0; page < pages; page += 1) {
          const answer: Answer = await client.query<VitalTrendsQuery | LabTrendsQuery, VitalTrendsQueryVariables>(query, { patientId, purpose, after, onBehalfOf }).toPromise();
          if (isOver) return;
          const records: Answered | null | undefined = answer.data?.medicalRecords;
          if (!records) return setFound({ nodes, hasMore, fetching: false, error: answer.error });
          nodes.push(...records.nodes);
          after = records.pageInfo.hasNextPage ? (records.pageInfo.endCursor ?? null) : null;
          setFound({ nodes: [...nodes], hasMore, fetching: true, error: answer.error });
          if (!after) break;
        }
        hasMore ||= after !== null;
      }
      setFound((before) => ({ ...before, hasMore, fetching: false }));
    };
    void read();
    return () => {
      isOver = true;
    };
  }, [client, patientId, purpose, onBehalfOf]);
  return found;
}

type Answered = NonNullable<(VitalTrendsQuery | LabTrendsQuery)['medicalRecords']>;

const marked = (nodes: Nodes): Set<string> => new Set(nodes.filter((node) => (node.summary?.unsupportedModifiers.length ?? 0) > 0).map((node) => node.id));

function TrendCard({ of, marked, suffix }: { of: Trend; marked: Set<string>; suffix: string }) {
  const points = useMemo(
    () => of.values.filter((value) => value.isDrawn).map((value) => ({ at: Date.parse(value.at ?? '') / 1000, value: Number(value.of.value) })),
    [of],
  );
  const latest = latestOf(of);
  const ranges = latest?.of.referenceRanges ?? [];
  const [low, high] = boundsOf(of, latest);
  return (
    <Card title={of.name}>
      <p className="latest">
        <strong>{latest ? valueOf(latest.of) : '–'}</strong> <span className="small">{fhirDate(latest?.at)}</span>
        {ranges.length > 0 ? <span className="small"> · {t('reference')} {ranges.map(rangeText).join('; ')}</span> : null}
      </p>
      {points.length > 1 ? (
        <Suspense fallback={<div className="chart" />}>
          <Chart points={points} unit={of.unit} low={low} high={high} label={of.name} />
        </Suspense>
      ) : null}
      <details>
        <summary>{t('All values as a table ({0})', of.values.length)}</summary>
        <Table
          caption={of.name}
          head={[t('Time'), t('Value'), t('Status'), t('Record')]}
          rows={[...of.values].reverse().map((value, index) => ({
            key: `${value.record}-${index}`,
            cells: [
              fhirDate(value.at),
              valueOf(value.of),
              <>
                {value.isWithdrawn ? <Tag kind="bad">{t('entered in error')}</Tag> : null}
                {value.of.status ?? '–'}
                {value.of.interpretations.map((each, at) => <Tag key={at} kind="warn">{each.text ?? each.codings[0]?.display ?? each.codings[0]?.code}</Tag>)}
                {value.of.focus.length > 0 ? <Tag kind="bad">{t('Of')}: {value.of.focus.map((whom) => whom.name ?? whom.reference ?? whom.identifier ?? '–').join(', ')}</Tag> : null}
                {value.isDrawn ? null : <Tag>{t('not drawn')}</Tag>}
              </>,
              <><Link href={`/records/${value.record}${suffix}`}>{t('open')}</Link> {marked.has(value.record) ? <Tag kind="bad">{t('read the document')}</Tag> : null}</>,
            ],
          }))}
        />
      </details>
    </Card>
  );
}
