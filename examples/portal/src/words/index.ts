// What people read, in English and Indonesian. The English text is the key: a text that has no Indonesian one does
// not compile.
import { store } from '../api/store';
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
  const kept = localStorage.getItem(KEY);
  if (kept === 'en' || kept === 'id') return kept;
  return /^(id|in)\b/i.test(navigator.language) ? 'id' : 'en';
}

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
