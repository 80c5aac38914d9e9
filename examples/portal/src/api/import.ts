// POST /import: a file goes up while a line of report comes back for each entry (docs/bulk.md).
import { CombinedError } from '@urql/core';
import { apiUrl } from './address';
import { freshToken } from './refresh';
import { type ImportLine, linesOf } from './import-lines';

export interface ImportProgress {
  /** How much of the file has gone up, from 0 to 1. */
  onSent: (share: number) => void;
  onLines: (lines: readonly ImportLine[]) => void;
}

/** What is longer is brought in by the command line: a browser reads no report before all of the file has gone up. Unit: bytes. */
export const MOST_IMPORTED = 32 * 1024 * 1024;

export const contentTypeOf = (name: string): string => (/\.(ndjson|jsonl)$/i.test(name) ? 'application/fhir+ndjson' : 'application/fhir+json');

/** Sends a file; answers the whole report. Throws a `CombinedError`. */
export async function sendImport(query: URLSearchParams, file: File, progress: ImportProgress, stop: AbortSignal): Promise<string> {
  const offline = (cause: unknown) => new CombinedError({ networkError: cause instanceof Error ? cause : new Error(String(cause)) });
  const token = await freshToken().catch((cause: unknown) => {
    throw offline(cause);
  });
  stop.throwIfAborted();
  return new Promise((resolve, reject) => {
    // Only this tells how much has gone up.
    const request = new XMLHttpRequest();
    let next = 0;
    const read = (isOver: boolean) => {
      if (request.status !== 200) return;
      const found = linesOf(request.responseText, next, isOver);
      next = found.next;
      if (found.lines.length > 0) progress.onLines(found.lines);
    };
    const settle = () => {
      try {
        if (request.status !== 200) throw refusal(request);
        read(true);
        resolve(request.responseText);
      } catch (cause) {
        reject(cause instanceof CombinedError ? cause : offline(cause));
      }
    };
    request.open('POST', new URL(`import?${query}`, apiUrl));
    request.setRequestHeader('content-type', contentTypeOf(file.name));
    if (token) request.setRequestHeader('authorization', `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => progress.onSent(total > 0 ? loaded / total : 1);
    request.onprogress = () => read(false);
    request.onload = settle;
    request.onerror = () => reject(offline('the connection broke off'));
    request.onabort = () => reject(offline('it was stopped'));
    stop.addEventListener('abort', () => request.abort(), { once: true });
    request.send(file);
  });
}

function refusal({ responseText, status }: XMLHttpRequest): CombinedError {
  const told = (): { message: string; extensions?: Record<string, unknown> }[] | undefined => {
    try {
      return (JSON.parse(responseText) as { errors?: { message: string; extensions?: Record<string, unknown> }[] }).errors;
    } catch {
      return undefined;
    }
  };
  const errors = told();
  return new CombinedError(errors ? { graphQLErrors: errors } : { networkError: new Error(`status ${status}`) });
}
