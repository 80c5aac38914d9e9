// What anybody may do without an account: follow the events of the contract, with hashes alone, and claim a certificate.
import { useState } from 'react';
import { Link } from 'wouter';
import { useFeed } from '../api/feed';
import { graphql } from '../gql';
import { Button, Card, Empty, Page, Table, Tag } from '../ui';
import { LiveChoice } from '../ui/live-choice';
import { t } from '../words';
import { registryEvent } from '../words/labels';
import { Claim } from './claim';
import { Registry } from './integrity';

const PUBLIC_FEED = graphql(`
  subscription PublicFeed($after: Cursor) {
    publicIntegrityEvents(after: $after) { cursor isUndone kind subjectHash txHash blockNumber sequence }
  }
`);

export default function Public() {
  const [isWhole, setWhole] = useState(false);
  return (
    <Page
      title={t('What is on the blockchain')}
      lead={<Link className="back" href="/">{t('Log in')}</Link>}
      actions={<a className="button" href="./verify.html" target="_blank" rel="noopener">{t('Verify a file')}</a>}
    >
      <p className="lead">{t('Hashes and numbers alone, for everybody: nothing here says whose record it is, or what is in it.')}</p>
      <Events key={String(isWhole)} after={isWhole ? 'earliest' : null} fromBeginning={isWhole ? undefined : () => setWhole(true)} />
      <Registry />
      <Claim />
    </Page>
  );
}

function Events({ after, fromBeginning }: { after: string | null; fromBeginning: (() => void) | undefined }) {
  const { events, isOpen } = useFeed(PUBLIC_FEED, { after }, (data) => data.publicIntegrityEvents);
  return (
    <Card title={t('Events')} actions={<><Tag kind={isOpen ? 'good' : 'warn'}>{isOpen ? t('live') : t('not live')}</Tag>{fromBeginning ? <Button onPress={fromBeginning}>{t('From the beginning')}</Button> : null}</>}>
      <LiveChoice />
      {events.length === 0 ? <Empty>{fromBeginning ? t('Nothing has happened since you opened this page.') : t('Nothing has happened yet.')}</Empty> : (
        <Table
          caption={t('Events')}
          head={[t('Number'), t('What'), t('Block'), 'SHA-256', t('Transaction')]}
          rows={events.map((each) => ({
            key: each.cursor,
            cells: [
              each.sequence,
              <>{registryEvent(each.kind)} {each.isUndone ? <Tag kind="bad">{t('its block was undone')}</Tag> : null}</>,
              each.blockNumber,
              <code key="hash">{each.subjectHash ?? '–'}</code>,
              <code key="tx">{each.txHash}</code>,
            ],
          }))}
        />
      )}
    </Card>
  );
}
