// The patient's own records.
import { Link } from 'wouter';
import { useKept } from '../api/place';
import { session } from '../api/session';
import { Records } from '../records/list';
import { Trends } from '../records/trends';
import { Page } from '../ui';
import { t } from '../words';
import { Tabs } from '../ui/tabs';

export default function Home() {
  const [tab, setTab] = useKept('tab', 'records');
  const me = session.get()?.person;
  return (
    <Page title={t('My records')} actions={<Link className="button" href={`/patients/${me?.id}/new`}>{t('Write a record')}</Link>}>
      <Tabs label={t('My records')} value={tab} onChange={setTab} of={[
        ['records', t('Timeline'), <Records key="records" />],
        ['trends', t('Trends'), <Trends key="trends" />],
      ]} />
    </Page>
  );
}
