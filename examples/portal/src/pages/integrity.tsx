// What auditors follow: anchors, reorganisations and findings, as they happen.
import { useState } from 'react';
import { useQuery } from 'urql';
import { apiUrl } from '../api/address';
import { useFeed } from '../api/feed';
import { session } from '../api/session';
import { graphql } from '../gql';
import type { IntegrityEventKind } from '../gql/graphql';
import { Button, Card, Check, Empty, Facts, Folded, Loaded, Notice, Page, Table, Tag, Verbatim } from '../ui';
import { t, time } from '../words';
import { event, finding } from '../words/labels';
import { useHealth } from './health';

const EVENTS = graphql(`
  subscription IntegrityFeed($after: Cursor) {
    integrityEvents(after: $after) { cursor kind at recordId dataHash blockNumber finding { id kind } }
  }
`);
const FINDINGS = graphql(`
  subscription FindingFeed($after: Cursor) {
    integrityEvents(after: $after, types: [FINDING_OPENED, FINDING_RESOLVED]) { cursor kind at recordId dataHash finding { id kind } }
  }
`);
const REGISTRY = graphql(`
  query Registry { registry { chainId address codeHash fromBlock indexedBlock finalizedBlock headSequence } }
`);

const BAD: ReadonlySet<IntegrityEventKind> = new Set(['ANCHOR_REORGED', 'ANCHOR_FAILED', 'CLOSING_REORGED', 'FINDING_OPENED']);

export default function Integrity() {
  // Those of all records may be millions: they are told when they are asked for.
  const isOfAll = session.get()?.person.role === 'ADMIN';
  const [isWhole, setWhole] = useState(!isOfAll);
  return (
    <Page title={t('Integrity')} lead={t('What is on the blockchain, and what does not agree with it.')} actions={<a className="button" href="./verify.html" target="_blank" rel="noopener">{t('Verify a file')}</a>}>
      <Findings />
      <Events key={String(isWhole)} after={isWhole ? 'earliest' : null} fromBeginning={isWhole ? undefined : () => setWhole(true)} />
      <Registry />
      {isOfAll ? <Health /> : null}
    </Page>
  );
}

/** All that were ever found, since one that was found long ago may be open still. */
function Findings() {
  const { pinned } = useFeed(FINDINGS, { after: 'earliest' }, (data) => data.integrityEvents, { isPinned: () => true });
  const resolved = new Set(pinned.flatMap((each) => (each.kind === 'FINDING_RESOLVED' && each.finding ? [each.finding.id] : [])));
  const open = pinned.filter((each) => each.kind === 'FINDING_OPENED' && each.finding && !resolved.has(each.finding.id));
  return (
    <Card title={t('Open findings')}>
      {open.length === 0 ? <Notice kind="good">{t('No finding is open in what was told so far.')}</Notice> : (
        <ul className="plain">{open.map((each) => <li key={each.cursor}><Tag kind="bad">{each.finding ? finding(each.finding.kind) : ''}</Tag> {time(each.at)} <code>{each.recordId ?? each.dataHash ?? ''}</code></li>)}</ul>
      )}
    </Card>
  );
}

function Events({ after, fromBeginning }: { after: string | null; fromBeginning: (() => void) | undefined }) {
  const [onlyBad, setOnlyBad] = useState(false);
  const { events, isOpen } = useFeed(EVENTS, { after }, (data) => data.integrityEvents);
  const shown = onlyBad ? events.filter((each) => BAD.has(each.kind)) : events;
  return (
    <Card title={t('Events')} actions={<><Tag kind={isOpen ? 'good' : 'warn'}>{isOpen ? t('live') : t('not live')}</Tag>{fromBeginning ? <Button onPress={fromBeginning}>{t('From the beginning')}</Button> : null}</>}>
      <Check isSelected={onlyBad} onChange={setOnlyBad}>{t('Only reorganisations, failures and findings')}</Check>
      {shown.length === 0 ? <Empty>{fromBeginning ? t('Nothing has happened since you opened this page.') : t('Nothing has happened yet.')}</Empty> : (
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
  );
}

export function Registry() {
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
  const failing = health ? failingOf(health.text) : [];
  return (
    <Card title={t('Health')}>
      {health ? (
        <>
          <p><Tag kind={health.isReady ? 'good' : 'bad'}>{health.isReady ? t('ready') : t('not ready')}</Tag> <span className="small">{new URL('health/ready', apiUrl).href}</span></p>
          {failing.length > 0 ? <Facts of={failing} /> : null}
          <Folded label={t('What the service answered')}><Verbatim text={health.text} /></Folded>
        </>
      ) : <p role="status">{t('Loading …')}</p>}
    </Card>
  );
}

/** What does not work, and why, as the api names it; nothing where what answers is not the api. */
function failingOf(text: string): [string, string][] {
  try {
    const { failing } = JSON.parse(text) as { failing?: Record<string, unknown> };
    return Object.entries(failing ?? {}).map(([name, why]) => [name, typeof why === 'string' ? why : JSON.stringify(why)]);
  } catch {
    return [];
  }
}
