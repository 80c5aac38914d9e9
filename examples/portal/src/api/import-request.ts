// How a file goes up while its report comes down.
import { CombinedError } from '@urql/core';
import { type ImportLine, linesOf } from './import-lines';

export interface ImportProgress {
  /** How much of the file has gone up, from 0 to 1. */
  onSent: (share: number) => void;
  onLines: (lines: readonly ImportLine[]) => void;
}

export const contentTypeOf = (name: string): string => (/\.(ndjson|jsonl)$/i.test(name) ? 'application/fhir+ndjson' : 'application/fhir+json');

const offline = (cause: unknown) => new CombinedError({ networkError: cause instanceof Error ? cause : new Error(String(cause)) });

/**
 * Sends a file by a token; where that is over, and so nothing was taken of the file, once more by another one. Answers the whole report. Throws a `CombinedError`.
 */
export async function sendFile(
  url: URL, file: File, progress: ImportProgress, stop: AbortSignal, tokenOf: (isOver: boolean) => Promise<string | undefined>,
): Promise<string> {
  const ask = async (isOver: boolean) => {
    const token = await tokenOf(isOver).catch((cause: unknown) => {
      throw offline(cause);
    });
    stop.throwIfAborted();
    return post(url, file, token, progress, stop);
  };
  let request = await ask(false);
  if (request.status === 401 && errorsOf(request)?.[0]?.extensions?.['code'] === 'TOKEN_EXPIRED') request = await ask(true);
  if (request.status === 200) return request.responseText;
  const errors = errorsOf(request);
  throw new CombinedError(errors ? { graphQLErrors: errors } : { networkError: new Error(`status ${request.status}`) });
}

function post(url: URL, file: File, token: string | undefined, progress: ImportProgress, stop: AbortSignal): Promise<XMLHttpRequest> {
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
        read(true);
        resolve(request);
      } catch (cause) {
        reject(offline(cause));
      }
    };
    request.open('POST', url);
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

function errorsOf({ responseText }: XMLHttpRequest): { message: string; extensions?: Record<string, unknown> }[] | undefined {
  try {
    return (JSON.parse(responseText) as { errors?: { message: string; extensions?: Record<string, unknown> }[] }).errors;
  } catch {
    return undefined;
  }
}
