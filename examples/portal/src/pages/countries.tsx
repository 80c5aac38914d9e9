// To which countries data may be sent, and by what.
import { useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { graphql } from '../gql';
import type { CountryRule } from '../gql/graphql';
import { Button, Card, Check, DialogTrigger, Empty, Failure, Field, Form, Loaded, Notice, Page, Popup, Table, Tag } from '../ui';
import { country, t } from '../words';

const RULES = graphql(`
  query CountryRules { countryRules { country isAdequate hasSafeguards needsConsent mayBeSentTo } }
`);
const SET = graphql(`
  mutation SetCountryRule($input: SetCountryRuleInput!) { setCountryRule(input: $input) { countryRule { country isAdequate hasSafeguards needsConsent mayBeSentTo } userErrors { code field message } } }
`);

export default function Countries() {
  const [result] = useQuery({ query: RULES });
  const [search, setSearch] = useState('');
  const asked = search.trim().toLocaleLowerCase();
  return (
    <Page title={t('Countries')} lead={t('To which countries data may be sent. A country without a rule is closed.')} actions={<RuleDialog />}>
      <Notice kind="warn">{t('What the product comes with are defaults: have your counsel check them.')}</Notice>
      <Card>
        <Field type="search" label={t('Search')} value={search} onChange={setSearch} />
        <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.countryRules ?? undefined }}>
          {(rules) => {
            const found = rules.filter((each) => country(each.country).toLocaleLowerCase().includes(asked));
            return found.length === 0 ? <Empty>{t('There is none.')}</Empty> : (
              <Table
                caption={t('Countries')}
                head={[t('Country'), t('Data may go there'), t('Protects as at home'), t('Safeguards'), t('By consent alone'), t('Change')]}
                rows={found.map((each) => ({
                  key: each.country,
                  cells: [
                    country(each.country),
                    <Tag key="may" kind={each.mayBeSentTo ? 'good' : 'bad'}>{each.mayBeSentTo ? t('yes') : t('no')}</Tag>,
                    ...[each.isAdequate, each.hasSafeguards, each.needsConsent].map((is) => (is ? t('yes') : t('no'))),
                    <RuleDialog key="change" of={each} />,
                  ],
                }))}
              />
            );
          }}
        </Loaded>
      </Card>
    </Page>
  );
}

const NONE = { country: '', isAdequate: false, hasSafeguards: false, needsConsent: false };

function RuleDialog({ of }: { of?: CountryRule }) {
  const { country: code, isAdequate, hasSafeguards, needsConsent } = of ?? NONE;
  const [draft, setDraft] = useState({ country: code, isAdequate, hasSafeguards, needsConsent });
  const [{ error, fetching }, set] = useMutation(SET);
  const title = of ? t('Change the rule for {0}', country(of.country)) : t('A rule for a country');
  const name = draft.country.trim().toUpperCase();
  return (
    <DialogTrigger>
      <Button {...(of ? { kind: 'quiet', 'aria-label': title } : {})}>{of ? t('Change') : t('Add a rule')}</Button>
      <Popup title={title}>
        {(close) => (
          <Form error={error} onSubmit={async (event) => {
            event.preventDefault();
            if (!(await set({ input: { ...draft, country: name } })).data?.setCountryRule) return;
            if (!of) setDraft(NONE);
            close();
          }}>
            {of ? null : <Field label={t('Country (two letters)')} name="country" value={draft.country} isRequired minLength={2} maxLength={2} hint={name.length === 2 ? country(name) : undefined} onChange={(next) => setDraft({ ...draft, country: next })} />}
            <div className="checks">
              <Check isSelected={draft.isAdequate} onChange={(next) => setDraft({ ...draft, isAdequate: next })}>{t('Its law protects data as that of the home country does')}</Check>
              <Check isSelected={draft.hasSafeguards} onChange={(next) => setDraft({ ...draft, hasSafeguards: next })}>{t('Safeguards bind whoever receives data there')}</Check>
              <Check isSelected={draft.needsConsent} onChange={(next) => setDraft({ ...draft, needsConsent: next })}>{t('Nothing but the consent of the patient opens it')}</Check>
            </div>
            <p className="small">{t('It holds from the next disclosure on.')}</p>
            <Failure error={error} />
            <div className="actions"><Button type="submit" kind="main" isPending={fetching}>{t('Store the rule')}</Button><Button onPress={close}>{t('Do nothing')}</Button></div>
          </Form>
        )}
      </Popup>
    </DialogTrigger>
  );
}
