// What an error means to the person, and what to do next, by the stable codes of docs/errors.md.
import type { CombinedError } from '@urql/core';
import { OtherTabBusy } from '../api/alone';
import { type English, t } from '.';

interface Issue {
  readonly path: string;
  readonly message: string;
  readonly severity?: string;
}

export interface Explained {
  readonly code: string;
  readonly text: string;
  readonly field: string | undefined;
  readonly issues: readonly Issue[];
  /** To be quoted when it is reported. */
  readonly requestId: string | undefined;
}

const advice: Record<string, English> = {
  BAD_USER_INPUT: 'A value cannot be used: correct it and try again.',
  BUSY: 'Too much is going on at once: wait a moment and try again.',
  CONFLICT: 'It has changed meanwhile, or is taken: load the page again and look.',
  FORBIDDEN: 'This needs another role.',
  INTEGRITY_VIOLATION: 'The record is not what its anchor says, and is not shown. Tell the operator.',
  INTERNAL: 'A fault of the service: report it with the number below.',
  INVALID_DOCUMENT: 'The document is not valid: correct what is listed.',
  LIMIT_REACHED: 'As many are there as may be: end one of them first.',
  NOT_FOUND: 'There is none, or you may not see it. The patient can let you in.',
  SECOND_FACTOR_REQUIRED: 'Type the six digits of your second factor, too.',
  SESSION_ENDED: 'Your log-in is over: log in again.',
  THROTTLED: 'Too many attempts: wait before you try again.',
  TIMEOUT: 'It took too long. It may have been done all the same: look before you try again.',
  TOKEN_EXPIRED: 'Your log-in is over: log in again.',
  TOO_LARGE: 'It is too large.',
  TOO_LARGE_ANSWER: 'The answer would be too long: ask for less.',
  UNAUTHENTICATED: 'Your log-in is over: log in again.',
  UNAVAILABLE: 'The service does not answer at the moment: try again soon.',
  WRONG_CREDENTIALS: 'The name, the password or the code is wrong.',
};

/** What is told of the fields of a form, by the names that they have in the input. */
export function fieldErrors(error: CombinedError | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { message, extensions } of error?.graphQLErrors ?? []) {
    const { field } = extensions as { field?: string };
    if (field) found.set(field, message);
  }
  return found;
}

export function explain(error: CombinedError): Explained {
  const first = error.graphQLErrors[0];
  if (error.networkError instanceof OtherTabBusy) {
    return { code: 'OTHER_TAB', text: t('Another tab of this browser has the log-in and does not answer: look at that tab or close it, then try again.'), field: undefined, issues: [], requestId: undefined };
  }
  if (!first) {
    return { code: 'OFFLINE', text: t('The service cannot be reached. Look at your connection, then try again.'), field: undefined, issues: [], requestId: undefined };
  }
  const { code = 'INTERNAL', field, issues = [], requestId, retryAfterSeconds } = first.extensions as {
    code?: string;
    field?: string;
    issues?: Issue[];
    requestId?: string;
    retryAfterSeconds?: number;
  };
  const known = advice[code];
  const next = known ? t(known) : first.message;
  const wait = retryAfterSeconds ? ` ${t('Wait for {0} s.', retryAfterSeconds)}` : '';
  return { code, text: next + wait, field, issues, requestId };
}
