// The report of an import, line by line.
import type { ImportOutcome } from '../gql/graphql';

/** A line of the report: of an entry, or the last one. */
export interface ImportLine {
  readonly entry?: number;
  readonly outcome?: ImportOutcome | 'ATTACHED' | 'KEPT' | 'WITH_DOCUMENT' | 'WOULD_BE_AMENDED' | 'WOULD_BE_ATTACHED' | 'WOULD_BE_CREATED';
  readonly recordId?: string;
  readonly resourceType?: string;
  readonly code?: string;
  readonly message?: string;
  readonly field?: string;
  readonly reason?: string;
  /** Of the last line: `COMPLETE`, or why it ended before. */
  readonly ended?: string;
  readonly resumeFrom?: number;
}

/** Whole lines of what has come so far, and where the next one begins. The last line may have no end. */
export function linesOf(text: string, from: number, isOver: boolean): { lines: ImportLine[]; next: number } {
  const next = isOver ? text.length : text.lastIndexOf('\n') + 1;
  const lines = text.slice(from, Math.max(from, next)).split('\n').filter((line) => line.trim() !== '');
  return { lines: lines.map((line) => JSON.parse(line) as ImportLine), next: Math.max(from, next) };
}
