// Speaks to the api: POST /graphql; subscriptions come as Server-Sent Events.
import { Client, CombinedError, type Operation, cacheExchange, fetchExchange, makeOperation, mapExchange } from '@urql/core';
import { OtherTabBusy } from './alone';
import { withUserErrors } from './payload';
import { apiUrl, plain } from './address';
import { freshToken } from './refresh';
import { end, session } from './session';
import { store } from './store';

/** Since when the api does not answer: null while it does. Unit: milliseconds since 1970. */
export const offlineSince = store<number | null>(null);

/**
 * What changes a list, besides what is in it: a list that is empty names no type, and would not be read again.
 * By the field of `Query`.
 */
const CHANGED_BY: Record<string, readonly string[]> = {
  accessCodes: ['AccessCode'],
  breakGlassReviews: ['BreakGlassReview'],
  consents: ['Consent'],
  countryRules: ['CountryRule'],
  dataDeletionRequests: ['DataDeletionRequest'],
  deletionQueue: ['DataDeletionRequest'],
  medicalRecords: ['MedicalRecord'],
  legalHolds: ['LegalHold'],
  myBreakGlassWindows: ['BreakGlassWindow'],
  myRepresentatives: ['Representative'],
  notifications: ['MarkNotificationsReadPayload'],
  organizationMembers: ['Membership'],
  organizations: ['Organization'],
  peopleIRepresent: ['Representative'],
  patients: ['Consent', 'BreakGlassWindow'],
  representativeProposals: ['RepresentativeProposal', 'Representative'],
  roleProposals: ['RoleProposal', 'User'],
  unreadNotifications: ['MarkNotificationsReadPayload'],
  whoHasAccess: ['Consent', 'Representative'],
};

function withTypes(operation: Operation): Operation {
  if (operation.kind !== 'query') return operation;
  const [definition] = operation.query.definitions;
  const fields = definition && 'selectionSet' in definition ? (definition.selectionSet?.selections ?? []) : [];
  const additionalTypenames = fields.flatMap((field) => (field.kind === 'Field' ? (CHANGED_BY[field.name.value] ?? []) : []));
  return makeOperation(operation.kind, operation, { ...operation.context, additionalTypenames });
}

/** A client of its own for each log-in: nothing that one person read is there for the next one. */
export function makeClient(): Client {
  return new Client({
    url: new URL('graphql', apiUrl).href,
    exchanges: [mapExchange({ onOperation: withTypes, onResult: withUserErrors }), cacheExchange, fetchExchange],
    fetch: send,
    fetchSubscriptions: true,
    preferGetMethod: false,
    requestPolicy: 'cache-and-network',
  });
}

/** A file of the api by GET, with the person's token. Throws a `CombinedError`. */
export async function download(path: string): Promise<Blob> {
  const response = await transfer(path, {});
  return response.blob().catch(broken);
}

/** Gives the api a file by PUT, with the person's token. Throws a `CombinedError`. */
export async function upload(path: string, content: Blob): Promise<void> {
  await transfer(path, { method: 'PUT', body: content });
}

/** A file that breaks off has no end that says why. */
const broken = (cause: unknown): never => {
  throw new CombinedError({ networkError: cause instanceof Error ? cause : new Error(String(cause)) });
};

async function transfer(path: string, init: RequestInit): Promise<Response> {
  const url = new URL(path.replace(/^\//, ''), apiUrl);
  if (url.origin !== apiUrl.origin) throw new Error('the address is not of the api');
  const ask = async (isOver = false) => {
    const token = await freshToken(isOver).catch(broken);
    return fetch(url, { ...init, headers: token ? { authorization: `Bearer ${token}` } : {}, credentials: 'omit', cache: 'no-store' }).catch(broken);
  };
  let response = await ask();
  // The clock here may be behind that of the api.
  if (response.status === 401 && (await codeOf(response)) === 'TOKEN_EXPIRED') response = await ask(true);
  if (response.ok) return response;
  const answer = (await response.json().catch(() => undefined)) as { errors?: { message: string; extensions?: Record<string, unknown> }[] } | undefined;
  throw new CombinedError(answer?.errors ? { graphQLErrors: answer.errors, response } : { networkError: new Error(`status ${response.status}`), response });
}

async function send(url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const asked = plain(init);
  const question = String(init.body);
  const isQuery = /^{[^}]*"query":"\s*(query|fragment)\b/.test(question);
  const mine = session.get();
  const answers = mine?.answers;
  const tokenOfMine = async (isOver = false) => {
    const token = await freshToken(isOver);
    // Nobody asks in the name of whoever logged in meanwhile.
    if (session.get() !== mine) throw new DOMException('the log-in has ended', 'AbortError');
    return token;
  };
  try {
    let response = await withToken(url, asked, await tokenOfMine());
    if (response.status === 401 && (await codeOf(response)) === 'TOKEN_EXPIRED') {
      response = await withToken(url, asked, await tokenOfMine(true));
    }
    offlineSince.set(null);
    if (response.status === 401 && session.get() === mine) await end('over');
    if (isQuery && response.ok && answers) {
      const text = await response.clone().text();
      if (!text.includes('"errors":[')) answers.keep(question, text).catch(() => {});
    }
    return response;
  } catch (cause) {
    // The api was not asked, or not to the end: nothing is known of the connection.
    const isOurs = cause instanceof OtherTabBusy || (cause instanceof DOMException && cause.name === 'AbortError');
    const answer = isQuery && !isOurs ? await answers?.find(question).catch(() => undefined) : undefined;
    if (!isOurs) offlineSince.set(answer?.at ?? offlineSince.get() ?? Date.now());
    if (!answer) throw cause;
    return new Response(answer.text, { headers: { 'content-type': 'application/graphql-response+json' } });
  }
}

function withToken(url: RequestInfo | URL, init: RequestInit, token: string | undefined): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  return fetch(url, { ...init, headers });
}

async function codeOf(response: Response): Promise<string | undefined> {
  const answer = (await response.clone().json().catch(() => undefined)) as { errors?: { extensions?: { code?: string } }[] } | undefined;
  return answer?.errors?.[0]?.extensions?.code;
}
