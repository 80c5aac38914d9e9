// The line under the response: how the last request went, or how the subscription is doing.
import { status } from './transport.js';

export function StatusLine() {
  const now = status.use();
  return (
    <p className="status-line" role="status" data-phase={now?.phase}>
      {now ? (now.kind === 'http' ? <Request {...now} /> : <Stream {...now} />) : 'Ctrl-Enter runs the operation'}
    </p>
  );
}

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
