// What was measured, by code and unit, in the order of time.
import type { LabTrendsQuery, TrendPartsFragment, VitalTrendsQuery } from '../gql/graphql';

type Answered = NonNullable<(VitalTrendsQuery | LabTrendsQuery)['medicalRecords']>;
export type Nodes = Answered['nodes'][number][];
type Measured = Omit<TrendPartsFragment, 'components'>;

export interface Value {
  readonly record: string;
  readonly of: Measured;
  readonly at: string | null;
  readonly isWithdrawn: boolean;
  /** Whether it was measured of the patient, at a known time, and stands. */
  readonly isSound: boolean;
  /** Whether it is, besides, one number. */
  readonly isDrawn: boolean;
}

export interface Trend {
  readonly key: string;
  readonly name: string;
  readonly unit: string;
  /** The oldest first; before it, those without a time. */
  readonly values: Value[];
}

const NOT_DRAWN = new Set(['entered-in-error', 'cancelled', 'unknown']);
/** A day, or a time of it: of a month or a year nobody knows where on the line it is. */
const DAY = /^\d{4}-\d\d-\d\d/;

/** What is said to be the latest value: never one that does not stand, or is of somebody else. */
export const latestOf = (of: Trend): Value | undefined => of.values.findLast((value) => value.isSound);

type ReferenceRange = Measured['referenceRanges'][number];

/** Whether a range is the normal one, which goes without saying. */
const isNormal = ({ meaning }: ReferenceRange): boolean => !meaning || meaning.codings.some(({ code }) => code === 'normal');

/** Between what a chart has its band: the one normal range of the latest value, where it is in the unit of the line. */
export function boundsOf(of: Trend, latest: Value | undefined): [number | undefined, number | undefined] {
  const [range, ...others] = latest?.of.referenceRanges ?? [];
  if (!range || others.length > 0 || !isNormal(range)) return [undefined, undefined];
  const bound = (limit: typeof range.low) => {
    const unit = limit?.code ?? limit?.unit;
    const isSame = !unit || unit === latest?.of.unitCode || unit === latest?.of.unit || unit === of.unit;
    return limit?.value && isSame ? Number(limit.value) : undefined;
  };
  return [bound(range.low), bound(range.high)];
}

function measurementsOf(summary: Nodes[number]['summary']): readonly TrendPartsFragment[] {
  if (!summary) return [];
  if ('measurements' in summary) return summary.measurements as readonly TrendPartsFragment[];
  return 'results' in summary ? (summary.results as readonly TrendPartsFragment[]) : [];
}

/** Unit: milliseconds since 1970; not a number where there is none. */
const timeOf = (at: string | null): number => Date.parse(at ?? '');

/** One trend for each code and unit: values in different units are not compared. */
export function trendsOf(nodes: Nodes): Trend[] {
  const trends = new Map<string, Trend>();
  for (const node of nodes) {
    const { summary } = node;
    const measured = measurementsOf(summary);
    const all = measured.flatMap((each) => [
      { of: each as Measured, at: each.effective, status: each.status, focus: each.focus },
      // A component has the time, the state and the person of what it is a part of.
      ...each.components.map((part) => ({ of: { ...each, ...part }, at: each.effective, status: each.status, focus: each.focus })),
    ]);
    for (const { of, at, status, focus } of all) {
      if (!of.value) continue;
      const coding = of.code?.codings[0];
      const unit = of.unitCode ?? of.unit ?? '';
      const key = `${coding?.system ?? ''}|${coding?.code ?? of.name ?? ''}|${unit}`;
      const when = at ?? null;
      const isSound = !node.isWithdrawn && !NOT_DRAWN.has(status ?? '') && focus.length === 0 && DAY.test(when ?? '') && !Number.isNaN(timeOf(when)) && summary?.unsupportedModifiers.length === 0;
      const isDrawn = isSound && !of.comparator;
      const trend = trends.get(key) ?? { key, name: of.name ?? coding?.display ?? coding?.code ?? '–', unit: of.unit ?? unit, values: [] };
      trend.values.push({ record: node.id, of, at: when, isWithdrawn: node.isWithdrawn, isSound, isDrawn });
      trends.set(key, trend);
    }
  }
  for (const trend of trends.values()) trend.values.sort((one, other) => (timeOf(one.at) || 0) - (timeOf(other.at) || 0));
  // What can be drawn comes first.
  const isLine = (trend: Trend) => Number(trend.values.filter((value) => value.isDrawn).length > 1);
  return [...trends.values()].sort((one, other) => isLine(other) - isLine(one) || one.name.localeCompare(other.name));
}
