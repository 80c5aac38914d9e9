// What auditors follow: anchors, reorganisations and findings, as they happen.
import { useState } from 'react';
import { useQuery } from 'urql';
import { apiUrl } from '../api/address';
import { useFeed } from '../api/feed';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { IntegrityEventKind } from '../gql/graphql';
import { Card, Check, Empty, Facts, Loaded, Notice, Page, Table, Tag } from '../ui';
import { t, time } from '../words';
import { event, finding } from '../words/labels';
import { useHealth } from './health';

export const INTEGRITY_FEED = graphql(`
  subscription IntegrityFeed($after: Cursor) {
    integrityEvents(after: $after) {
      cursor kind at recordId dataHash txHash blockNumber blockHash sequence state
      finding { id kind openedAt resolvedAt }
    }
  }
`);
const REGISTRY = graphql(`
  query Registry { registry { chainId address codeHash fromBlock indexedBlock finalizedBlock headSequence } }
`);

const BAD: ReadonlySet<IntegrityEventKind> = new Set(['ANCHOR_REORGED', 'ANCHOR_FAILED', 'CLOSING_REORGED', 'FINDING_OPENED']);

export default function Integrity() {
  const [onlyBad, setOnlyBad] = useState(false);
  const { events, pinned, isOpen } = useFeed(INTEGRITY_FEED, { after: 'earliest' }, (data) => data.integrityEvents, { isPinned: (each) => each.finding !== null });
  const shown = onlyBad ? events.filter((each) => BAD.has(each.kind)) : events;
  const resolved = new Set(pinned.flatMap((each) => (each.kind === 'FINDING_RESOLVED' && each.finding ? [each.finding.id] : [])));
  const open = pinned.filter((each) => each.kind === 'FINDING_OPENED' && each.finding && !resolved.has(each.finding.id));
  return (
    <Page title={t('Integrity')} lead={t('What is on the blockchain, and what does not agree with it.')} actions={<a className="button" href="./verify.html" target="_blank" rel="noopener">{t('Verify a file')}</a>}>
      <Card title={t('Open findings')}>
        {open.length === 0 ? <Notice kind="good">{t('No finding is open in what was told so far.')}</Notice> : (
          <ul className="plain">{open.map((each) => <li key={each.cursor}><Tag kind="bad">{each.finding ? finding(each.finding.kind) : ''}</Tag> {time(each.at)} <code>{each.recordId ?? each.dataHash ?? ''}</code></li>)}</ul>
        )}
      </Card>
      <Card title={t('Events')} actions={<Tag kind={isOpen ? 'good' : 'warn'}>{isOpen ? t('live') : t('not live')}</Tag>}>
        <Check isSelected={onlyBad} onChange={setOnlyBad}>{t('Only reorganisations, failures and findings')}</Check>
        {shown.length === 0 ? <Empty>{t('Nothing has happened yet.')}</Empty> : (
          <Table
            caption={t('Events')}
            head={[t('Time'), t('What'), t('Block'), t('Record')]}
            rows={shown.map((each) => ({
              key: each.cursor,
              cells: [
                time(each.at),
                <><Tag kind={BAD.has(each.kind) ? 'bad' : each.kind === 'ANCHOR_FINALIZED' || each.kind === 'FINDING_RESOLVED' ? 'good' : 'plain'}>{event(each.kind)}</Tag> {each.finding ? finding(each.finding.kind) : ''}</>,
                each.blockNumber ?? '–',
                <code key="record" title={each.dataHash ?? ''}>{each.recordId ?? '–'}</code>,
              ],
            }))}
          />
        )}
      </Card>
      <Registry />
      {session.get()?.person.role === 'ADMIN' ? <Health /> : null}
    </Page>
  );
}

function Registry() {
  const [result] = useQuery({ query: REGISTRY });
  return (
    <Card title={t('The registry')}>
      <Loaded of={{ fetching: result.fetching, error: result.error, data: result.data?.registry ?? undefined }}>
        {(found) => (
          <Facts of={[
            [t('Chain'), found.chainId], [t('Address'), <code key="address">{found.address}</code>], [t('Hash of its code'), <code key="code">{found.codeHash}</code>],
            [t('Read up to block'), found.indexedBlock], [t('Final up to block'), found.finalizedBlock], [t('Events'), found.headSequence],
          ]} />
        )}
      </Loaded>
    </Card>
  );
}

function Health() {
  const health = useHealth();
  return (
    <Card title={t('Health')}>
      {health ? (
        <>
          <p><Tag kind={health.isReady ? 'good' : 'bad'}>{health.isReady ? t('ready') : t('not ready')}</Tag> <span className="small">{new URL('health/ready', apiUrl).href}</span></p>
          <pre className="document" tabIndex={0}>{health.text}</pre>
        </>
      ) : <p role="status">{t('Loading …')}</p>}
    </Card>
  );
}
