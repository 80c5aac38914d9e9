// POST /import: a file goes up while a line of report comes back for each entry (docs/bulk.md).
import { apiUrl } from './address';
import { type ImportProgress, sendFile } from './import-request';
import { freshToken } from './refresh';

/** What is longer is brought in by the command line: a browser reads no report before all of the file has gone up. Unit: bytes. */
export const MOST_IMPORTED = 32 * 1024 * 1024;

/** Sends a file; answers the whole report. Throws a `CombinedError`. */
export function sendImport(query: URLSearchParams, file: File, progress: ImportProgress, stop: AbortSignal): Promise<string> {
  return sendFile(new URL(`import?${query}`, apiUrl), file, progress, stop, freshToken);
}
