// Choosing an account by its name, for administrators: nobody types an ID.
import { useState } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../gql';
import type { Role } from '../gql/graphql';
import { Button, Empty, Failure, Field, Tag, useWrong } from '.';
import { t } from '../words';
import { role as roleWord } from '../words/labels';

const ACCOUNTS = graphql(`
  query AccountsToChoose($search: String!, $role: Role) { users(first: 8, search: $search, role: $role) { nodes { id username role isActive } } }
`);

export interface Chosen {
  readonly id: string;
  readonly username: string;
}

export function AccountChoice({ label, name, value, onChange, role }: { label: string; name: string; value: Chosen | undefined; onChange: (next: Chosen | undefined) => void; role?: Role }) {
  const [search, setSearch] = useState('');
  const wrong = useWrong(name);
  const asked = search.trim();
  const [result] = useQuery({ query: ACCOUNTS, variables: { search: asked, role: role ?? null }, pause: asked === '' });
  const found = asked ? result.data?.users?.nodes.filter((each) => each.role) : undefined;
  if (value) {
    return (
      <div>
        <p className="between">
          <span>{label}: <strong>{value.username}</strong></span>
          <Button kind="quiet" onPress={() => onChange(undefined)}>{t('Choose somebody else')}</Button>
        </p>
        {wrong ? <span className="wrong">{wrong}</span> : null}
      </div>
    );
  }
  return (
    <>
      <Field type="search" label={label} name={name} value={search} hint={t('How the user name begins')} onChange={setSearch} />
      <ul className="plain pick" aria-live="polite">
        {found?.map((each) => (
          <li key={each.id}>
            <span>{each.username} <Tag>{roleWord(each.role)}</Tag> {each.isActive ? null : <Tag kind="bad">{t('inactive')}</Tag>}</span>
            <Button aria-label={t('Choose {0}', each.username)} onPress={() => onChange({ id: each.id, username: each.username })}>{t('Choose')}</Button>
          </li>
        ))}
        {found?.length === 0 ? <li><Empty>{t('There is no such account.')}</Empty></li> : null}
      </ul>
      <Failure error={result.error} />
    </>
  );
}
