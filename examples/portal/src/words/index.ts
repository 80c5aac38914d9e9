// What people read, in English and Indonesian. The English text is the key: a text that has no Indonesian one does
// not compile.
import { store } from '../api/store';
import type { Language as SentenceLanguage } from '../gql/graphql';
import type { indonesian } from './indonesian';

export type Language = 'en' | 'id';
export type English = keyof typeof indonesian;

const KEY = 'meditrustal:language';

export const language = store<Language>(initial());
let dictionary: Record<English, string> | undefined;

/** Loads what the language needs; to be awaited before the first page is drawn. */
export async function loadLanguage(next: Language = language.get()): Promise<void> {
  if (next === 'id') dictionary = (await import('./indonesian')).indonesian;
  document.documentElement.lang = next;
  localStorage.setItem(KEY, next);
  language.set(next);
}

/** The text in the person's language; `{0}`, `{1}` stand for what follows. */
export function t(text: English, ...values: (string | number)[]): string {
  const template = language.get() === 'id' ? (dictionary?.[text] ?? text) : text;
  return template.replace(/{(\d)}/g, (_, index: string) => String(values[Number(index)] ?? ''));
}

function initial(): Language {
  const kept = keptLanguage();
  if (kept === 'en' || kept === 'id') return kept;
  return /^(id|in)\b/i.test(navigator.language) ? 'id' : 'en';
}

/** None where the browser refuses its storage, which is told before anything else (`main.tsx`). */
function keptLanguage(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** The language of the sentences that the api writes, as it names it. */
export const sentenceLanguage = (): SentenceLanguage => (language.get() === 'id' ? 'INDONESIAN' : 'ENGLISH');

export const locale = (): string => (language.get() === 'id' ? 'id-ID' : 'en-GB');

/** A time, such as 4 Mar 2026, 09:15. */
export function time(at: string | null | undefined): string {
  if (!at) return '–';
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}

/** A day, such as 4 Mar 2026. */
export function day(at: string | null | undefined): string {
  if (!at) return '–';
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium' }).format(new Date(at));
}

/** A length, such as 1.2 MB. */
export function bytes(of: number): string {
  const [unit, per] = of < 1_000 ? (['byte', 1] as const) : of < 1_000_000 ? (['kilobyte', 1_000] as const) : (['megabyte', 1_000_000] as const);
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, maximumFractionDigits: 1 }).format(of / per);
}

/** The name of a country by its two letters, which stand behind it. */
export function country(code: string): string {
  try {
    const name = new Intl.DisplayNames(locale(), { type: 'region', fallback: 'none' }).of(code);
    return name ? `${name} (${code})` : code;
  } catch {
    return code; // letters that are no country's
  }
}

/** The last moment of a day that was typed as `2026-03-04`, as the beginning of the next one; undefined where none was. */
export function endOfDay(typed: string): string | undefined {
  const [year = NaN, month = NaN, date = NaN] = typed.split('-').map(Number);
  const next = new Date(year, month - 1, date + 1);
  return Number.isNaN(next.getTime()) ? undefined : next.toISOString();
}

/** A day as a field for a date has it, so many days from now. */
export function dayFromNow(days: number): string {
  const at = new Date(Date.now() + days * 86_400_000);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, '0')).join('-');
}

/** A FHIR date as exact as it is written: `2026-03` has no day, and is shown without one. */
export function fhirDate(text: string | null | undefined): string {
  if (!text) return '–';
  if (/^\d{4}$/.test(text)) return text;
  const format = (options: Intl.DateTimeFormatOptions, of: string) =>
    new Intl.DateTimeFormat(locale(), { timeZone: 'UTC', ...options }).format(new Date(of));
  if (/^\d{4}-\d\d$/.test(text)) return format({ year: 'numeric', month: 'short' }, `${text}-01T00:00:00Z`);
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return format({ dateStyle: 'medium' }, `${text}T00:00:00Z`);
  // From when to when: a side that is not said stays open, and what is no moment stays as it is written.
  const [, start, end] = /^(\d{4}[-\d]*(?:T\S+)?)? ?– ?(\d{4}[-\d]*(?:T\S+)?)?$/.exec(text) ?? [];
  if (start || end) return [start ? fhirDate(start) : '', '–', end ? fhirDate(end) : ''].join(' ').trim();
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(Date.parse(text))) return text;
  // Where it was another time of day for whoever wrote it, that one is said, too.
  const [, date, clock, sign, hours, minutes] = /^(\S+)T(\d\d:\d\d)\S*([+-])(\d\d):(\d\d)$/.exec(text) ?? [];
  const offset = Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes));
  const isOurs = clock === undefined || offset === -new Date(text).getTimezoneOffset();
  return isOurs ? time(text) : `${time(text)} (${date} ${clock} ${sign}${hours}:${minutes})`;
}
