// What the forms have in common: how they are written as FHIR R4, and how a document is read back into a form.
import { Digits, fromJsonText, readDigits, toJsonText } from './digits';

export type Json = { [key: string]: unknown };

const LOINC = 'http://loinc.org';
const UCUM = 'http://unitsofmeasure.org';

export const coded = (system: string, code: string, display?: string): Json => ({ coding: [{ system, code, display }] });
export const loinc = (code: string, display: string): Json => coded(LOINC, code, display);
export const category = (code: 'vital-signs' | 'laboratory', display: string): Json[] => [
  coded('http://terminology.hl7.org/CodeSystem/observation-category', code, display),
];

/** A quantity; undefined where nothing was typed, or something that is no number. */
export function quantityOf(typed: string, unit: string, code: string): Json | undefined {
  const value = readDigits(typed);
  return value && { value, unit, system: UCUM, code };
}

/** The local time of this machine as FHIR writes it, with its offset. */
export function fhirTime(local: Date): string {
  const offset = -local.getTimezoneOffset();
  const two = (value: number) => String(Math.trunc(Math.abs(value))).padStart(2, '0');
  const shifted = new Date(local.getTime() + offset * 60_000).toISOString().slice(0, 19);
  return `${shifted}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
}

/**
 * Reads a document into the values of a form, if the form can say all of it: written again it has to be the same
 * document, but for what the server itself sets. Otherwise an amendment by the form would leave something out.
 */
export function readBack<T>(text: string, read: (document: Json) => T | undefined, write: (values: T) => Json): T | undefined {
  const document = fromJsonText(text) as Json;
  const values = read(document);
  if (values === undefined) return undefined;
  const again = fromJsonText(toJsonText(write(values)));
  return toJsonText(comparable(document)) === toJsonText(comparable(again)) ? values : undefined;
}

/** Without what the server sets, and with its keys in order. */
function comparable(value: unknown, isRoot = true): unknown {
  if (value instanceof Digits) return value;
  if (Array.isArray(value)) return value.map((item) => comparable(item, false));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value)
    .filter(([key]) => key !== 'subject' && key !== 'patient' && !(isRoot && (key === 'id' || key === 'meta')))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, member]) => [key, comparable(member, false)]));
}

/** Whether a form can show when it was: `2026-03` has no day, and a field for a time would make one up. */
export const isMoment = (text: string): boolean => /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text));

/** What stands at a path of keys and indexes. */
export function at(value: unknown, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>((here, key) => (here === null || typeof here !== 'object' ? undefined : (here as Json)[key]), value);
}
export const textAt = (value: unknown, ...path: (string | number)[]): string => {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : found instanceof Digits ? found.text : '';
};
export const listAt = (value: unknown, ...path: (string | number)[]): unknown[] => {
  const found = at(value, ...path);
  return Array.isArray(found) ? found : [];
};
