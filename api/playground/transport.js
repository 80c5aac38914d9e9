// Speaks to the API: POST /graphql, and a WebSocket at /graphql for subscriptions.
//
// Every failure becomes an Error with a sentence a developer can act on, since GraphiQL
// shows its message in the response pane.
import { getIntrospectionQuery, getOperationAST, parse } from 'graphql';
import { createClient } from 'graphql-ws';
import { nameInDocument } from './operation.js';
import { askBy, noteRecord } from './record-id.js';
import { goOnAfter } from './resume.js';
import { begin, end, goOnBy, isOurs, notice, renew, session } from './session.js';
import { state } from './state.js';

const HTTP_URL = new URL('/graphql', location.href);
const SOCKET_URL = new URL(HTTP_URL);
SOCKET_URL.protocol = HTTP_URL.protocol === 'https:' ? 'wss:' : 'ws:';

// Close codes of graphql-transport-ws for a connection that may not be, or not be any longer.
const NOT_AUTHENTICATED = [4401, 4403];
/** The one of them that a new token helps against: the last one has expired. */
const EXPIRED = 4403;
/** How often a lost connection is tried again, and for how long the first wait is. Unit: milliseconds. */
const RETRIES = 5;
const FIRST_WAIT = 1_000;
/** How many events of a subscription the response shows. */
const SHOWN = 20;

/**
 * What the line under the response says: null, or
 * `{ kind: 'http', status, millis, bytes, requestId }` or
 * `{ kind: 'stream', phase: 'connecting' | 'waiting' | 'ended' | 'failed', events, returns, text? }`,
 * `returns` being how often the connection was lost and made again.
 */
export const status = state(null);

/** GraphiQL's fetcher: a promise for queries and mutations, an observable for subscriptions. */
export async function fetcher({ query, variables, operationName: shown }, { headers = {} } = {}) {
  if (shown === 'IntrospectionQuery') return introspect(query, headers);
  const operationName = nameInDocument(query, shown);
  if (isSubscription(query, operationName)) return stream({ query, variables, operationName }, headers);

  const started = performance.now();
  const { result, response, bytes } = await postAsOurselves({ query, variables, operationName }, headers);
  status.set({
    kind: 'http',
    status: response.status,
    millis: performance.now() - started,
    bytes,
    requestId: response.headers.get('x-request-id') ?? result.errors?.[0]?.extensions?.requestId,
  });
  notify(result, headers);
  return result;
}

/** Runs the `logIn` mutation; throws with the API's own words. */
export async function logIn(login, password) {
  const { result } = await post({
    query: `mutation LogIn($input: LogInInput!) {
      logIn(input: $input) { accessToken expiresAt refreshToken refreshExpiresAt user { id username email role } }
    }`,
    variables: { input: { login, password } },
    operationName: 'LogIn',
  });
  if (!result.data?.logIn) throw new Error(result.errors?.[0]?.message ?? 'The API gave no token.');
  begin(result.data.logIn);
}

goOnBy(async (refreshToken) => {
  const { result } = await post({
    query: `mutation Refresh($input: RefreshSessionInput!) {
      refreshSession(input: $input) { accessToken expiresAt refreshToken refreshExpiresAt }
    }`,
    variables: { input: { refreshToken } },
    operationName: 'Refresh',
  });
  if (result.data?.refreshSession) return result.data.refreshSession;
  if (result.errors?.[0]?.extensions?.code === 'SESSION_ENDED') return null;
  throw new Error(result.errors?.[0]?.message ?? 'The API gave no token.');
});

askBy(async (query, operationName) => {
  const { result } = await postAsOurselves({ query, operationName }, { authorization: `Bearer ${session.get().token}` });
  return result.data;
});

/** Ends the log-in at the API. The tab forgets it in any case. */
export async function logOut() {
  const { token } = session.get() ?? {};
  end();
  if (!token) return;
  const query = 'mutation LogOut { logOut { endedSessions } }';
  await post({ query, operationName: 'LogOut' }, { authorization: `Bearer ${token}` }).catch(() => {});
}

/** Posts, and once more with the next token where that of the log-in has expired. */
async function postAsOurselves(body, headers) {
  const answer = await post(body, headers);
  const expired = answer.result.errors?.some((error) => error.extensions?.code === 'TOKEN_EXPIRED');
  if (!expired || !isOurs(bearer(headers))) return answer;
  await renew();
  return post(body, { ...withoutAuthorization(headers), authorization: `Bearer ${session.get().token}` });
}

async function post(body, headers = {}) {
  const response = await fetch(HTTP_URL, {
    method: 'POST',
    headers: {
      ...headers,
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json;q=0.9',
    },
    body: JSON.stringify(body),
    credentials: 'omit',
    cache: 'no-store',
  }).catch((cause) => {
    throw new Error(`No answer from ${HTTP_URL}. Is the API running? (${cause.message})`);
  });
  const text = await response.text();
  const result = readJson(text);
  if (result === null || typeof result !== 'object') {
    throw new Error(`The API answered ${response.status} ${response.statusText} with something that is not JSON: ${text.slice(0, 200) || '(nothing)'}`);
  }
  return { result, response, bytes: new TextEncoder().encode(text).length };
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Asks for more than GraphiQL does (@oneOf, deprecated inputs), and for what GraphiQL
// asked if the API does not know that.
async function introspect(query, headers) {
  const full = getIntrospectionQuery({
    schemaDescription: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    inputValueDeprecation: true,
    oneOf: true,
  });
  let answer;
  for (const attempt of [full, query]) {
    answer = await post({ query: attempt, operationName: 'IntrospectionQuery' }, headers);
    if (answer.result.data?.__schema) return answer.result;
    if (answer.response.status === 429) break;
  }
  const reason = answer.result.errors?.[0]?.message ?? `status ${answer.response.status}`;
  notice.set({
    kind: 'hint',
    text: 'This API does not publish its schema: no manual, no suggestions. Operations still run.',
  });
  throw new Error(
    `This API does not publish its schema ("${reason}"), so there is no manual and no auto-completion here. ` +
      'Operations still run. For development, start the API with MEDITRUSTAL_INTROSPECTION=true.',
  );
}

function notify({ data, errors }, headers) {
  if (data?.logIn?.accessToken && data.logIn.user) return begin(data.logIn);
  if (data?.refreshSession?.accessToken && session.get()) return begin(data.refreshSession);
  if (data?.logOut || data?.logOutEverywhere) return end();
  noteRecord(data);
  if (!errors?.some((error) => error.extensions?.code === 'UNAUTHENTICATED')) return;
  const now = session.get();
  if (now && authorization(headers) === `Bearer ${now.token}`) {
    end({ kind: 'error', text: 'The API no longer accepts your token. Log in again.' });
  } else if (!now) {
    notice.set({ kind: 'hint', text: 'That needs an account: log in here.' });
  }
}

function isSubscription(query, operationName) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === 'subscription';
  } catch {
    return false; // The API explains syntax errors better than we could.
  }
}

function bearer(headers) {
  return authorization(headers)?.replace(/^Bearer /, '');
}

function withoutAuthorization(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key.toLowerCase() !== 'authorization'));
}

function authorization(headers) {
  const name = Object.keys(headers).find((key) => key.toLowerCase() === 'authorization');
  return name && headers[name];
}

function stream(payload, headers) {
  return {
    subscribe(sink) {
      const stream = Symbol('stream');
      let events = 0;
      let returns = 0;
      let over = false;
      let refusal;
      let cursor;
      let connected = false;
      let expired = false;
      const show = (phase, text) => status.set({ kind: 'stream', stream, phase, events, returns, text });
      const finish = (phase, text) => {
        over = true;
        show(phase, text);
      };
      const asked = { ...payload };
      let newestFirst = [];
      const client = createClient({
        url: SOCKET_URL.href,
        async connectionParams() {
          if (expired && isOurs(bearer(headers))) await renew();
          expired = false;
          const token = isOurs(bearer(headers)) ? `Bearer ${session.get().token}` : authorization(headers);
          return token ? { authorization: token } : {};
        },
        retryAttempts: RETRIES,
        retryWait: (retries) => new Promise((go) => setTimeout(go, expired ? 0 : FIRST_WAIT * 2 ** retries)),
        // A connection that never was is told at once, and a token that is not of the log-in cannot be exchanged.
        shouldRetry: (cause) =>
          !(cause instanceof Error) && (cause.code === EXPIRED ? isOurs(bearer(headers)) : connected),
        connectionAckWaitTimeout: 10_000,
        keepAlive: 15_000,
        on: {
          connected(_socket, _payload, again) {
            connected = true;
            if (again) returns += 1;
            show('waiting');
          },
          closed({ code }) {
            expired = code === EXPIRED;
            // The client sends `asked` again as it is then: what came before is not told twice, and nothing is missed.
            if (cursor) Object.assign(asked, goOnAfter(asked, cursor));
          },
        },
      });
      show('connecting');
      const dispose = client.subscribe(asked, {
        next(result) {
          cursor = result.extensions?.cursor ?? cursor;
          if (result.data) events += 1;
          else refusal = result.errors?.[0]?.message;
          show('waiting');
          notify(result, headers);
          newestFirst = [result, ...newestFirst].slice(0, SHOWN);
          // GraphiQL shows what it was given last.
          sink.next(newestFirst.length === 1 ? result : { newestFirst });
        },
        error(cause) {
          const error = readableSocketError(cause);
          finish('failed', error.message);
          if (Array.isArray(cause)) {
            notify({ errors: cause }, headers);
            sink.next({ errors: cause });
            sink.complete();
          } else {
            if (NOT_AUTHENTICATED.includes(cause?.code)) notify({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] }, headers);
            sink.error(error);
          }
        },
        complete() {
          if (!over) finish(refusal ? 'failed' : 'ended', refusal);
          sink.complete();
        },
      });
      return {
        unsubscribe() {
          if (!over) finish('ended');
          dispose();
        },
      };
    },
  };
}

function readableSocketError(cause) {
  if (Array.isArray(cause)) return new Error(cause[0]?.message ?? 'The API refused the subscription.');
  if (cause instanceof CloseEvent || (typeof cause?.code === 'number' && 'reason' in cause)) {
    return new Error(`The API closed the connection: ${cause.code}${cause.reason ? ` ${cause.reason}` : ''}.`);
  }
  return cause instanceof Error ? cause : new Error(`no WebSocket at ${SOCKET_URL}; the API is down or does not allow this page's origin.`);
}
