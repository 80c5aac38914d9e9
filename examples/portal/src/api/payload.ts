// The payloads of mutations: what is told in `userErrors`, for the pages the same as what is told in `errors`; and
// payloads of which all is there.
import { CombinedError, type OperationResult } from '@urql/core';
import type { UserError } from '../gql/graphql';

type Payload = { readonly userErrors?: readonly Pick<UserError, 'code' | 'field' | 'message' | 'issues'>[] } | null;

/** Takes a payload with user errors for one that was refused with errors, one for each of them. */
export function withUserErrors(result: OperationResult): OperationResult {
  if (result.operation.kind !== 'mutation') return result;
  const payloads = Object.entries((result.data ?? {}) as Record<string, Payload>);
  const told = payloads.flatMap(([key, payload]) => (payload?.userErrors ?? []).map(({ code, field, message, issues }) => ({
    message, path: [key], extensions: { code, field: field?.at(-1), issues: issues ?? [] },
  })));
  if (told.length === 0) return result;
  const data = Object.fromEntries(payloads.map(([key, payload]) => [key, payload?.userErrors?.length ? null : payload]));
  return { ...result, data, error: new CombinedError({ graphQLErrors: [...(result.error?.graphQLErrors ?? []), ...told] }) };
}

/** The payload with nothing null in it. */
export type Complete<T> = { readonly [K in keyof T]-?: NonNullable<T[K]> };

function isComplete<T extends object>(payload: T): payload is T & Complete<T> {
  return Object.values(payload).every((value) => value !== null && value !== undefined);
}

/** The payload, if all that was asked for is there: what was refused has nothing, and what failed in it is null. */
export function complete<T extends object>(payload: T | null | undefined): (T & Complete<T>) | undefined {
  return payload && isComplete<T>(payload) ? payload : undefined;
}
