import type { DataCategory } from '../gql/graphql';
import { Choices } from '.';
import { t } from '../words';
import { RECORD_TYPES, recordType } from '../words/labels';

/** All records, or some types: not both. */
export function Categories({ name, value, onChange }: { name?: string; value: readonly DataCategory[]; onChange: (next: DataCategory[]) => void }) {
  const change = (next: DataCategory[]) => {
    if (next.includes('ALL_RECORDS') && !value.includes('ALL_RECORDS')) return onChange(['ALL_RECORDS']);
    return onChange(next.length > 1 ? next.filter((each) => each !== 'ALL_RECORDS') : next);
  };
  return <Choices<DataCategory> label={t('Which records')} name={name} value={value} onChange={change} options={[['ALL_RECORDS', t('All records')], ...RECORD_TYPES.map((each) => [each, recordType(each)] as const)]} />;
}
