// The line under the response: how the tab's last request went, or how its subscription is doing.
import { useGraphiQL } from '@graphiql/react';
import { useRef } from 'react';
import { status } from './transport.js';

export function StatusLine() {
  const now = useStatusOfActiveTab();
  return (
    <p className="status-line" role="status" data-phase={now?.phase}>
      {now ? (now.kind === 'http' ? <Request {...now} /> : <Stream {...now} />) : 'Ctrl-Enter runs the operation'}
    </p>
  );
}

/** The status, while the tab is active whose operation it is of: GraphiQL stops a stream when its tab is left. */
function useStatusOfActiveTab() {
  const now = status.use();
  const tab = useGraphiQL((graphiql) => graphiql.tabs[graphiql.activeTabIndex]?.id);
  const last = useRef({});
  if (last.current.now !== now) last.current = { now, tab: isSameStream(now, last.current.now) ? last.current.tab : tab };
  return last.current.tab === tab ? now : null;
}

const isSameStream = (one, other) => one?.kind === 'stream' && one.stream === other?.stream;

function Request({ status: code, millis, bytes, requestId }) {
  return (
    <>
      HTTP {code} · {Math.round(millis)} ms · {bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KiB`}
      {requestId && <> · request <code>{requestId}</code></>}
    </>
  );
}

function Stream({ phase, events, returns, text }) {
  const again = returns ? ` · connected again ${returns === 1 ? 'once' : `${returns} times`}` : '';
  const count = `${events} ${events === 1 ? 'event' : 'events'}${again}`;
  switch (phase) {
    case 'connecting':
      return 'Connecting …';
    case 'waiting':
      return events ? `Connected · ${count}` : `Connected · waiting for the first event${again}`;
    case 'failed':
      return events ? `Disconnected after ${count}: ${text}` : `Not connected: ${text}`;
    default:
      return `Stopped after ${count}`;
  }
}
