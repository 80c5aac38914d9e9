// Where the api is, and what every request to it has.
import { restoreJsonText } from '../fhir/digits';

/** Where the api is: what the page's `<meta>` says, or else where the page comes from. */
export const apiUrl = new URL(
  (document.querySelector<HTMLMetaElement>('meta[name="meditrustal-api"]')?.content || '').replace(/\/?$/, '/'),
  location.href,
);

/** A request as the api takes it, without cookies unless they are asked for. */
export function plain(init: RequestInit = {}): RequestInit {
  const headers = new Headers(init.headers);
  const streams = headers.get('accept')?.startsWith('text/event-stream');
  headers.set('accept', streams ? 'text/event-stream' : 'application/graphql-response+json, application/json;q=0.9');
  const body = typeof init.body === 'string' ? restoreJsonText(init.body) : (init.body ?? null);
  return { ...init, body, headers, credentials: init.credentials ?? 'omit', cache: 'no-store' };
}
