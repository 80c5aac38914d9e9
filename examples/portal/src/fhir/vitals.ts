// Vital signs: a Bundle with one Observation for each value, and blood pressure as one with two components.
import type { English } from '../words';
import { type Json, category, isMoment, listAt, loinc, quantityOf, textAt } from './document';

export interface Vitals {
  /** A FHIR dateTime. */
  readonly at: string;
  readonly status: string;
  readonly systolic: string;
  readonly diastolic: string;
  readonly values: Readonly<Record<SignKey, string>>;
}

export type SignKey = 'heartRate' | 'temperature' | 'breaths' | 'saturation' | 'weight' | 'height';

interface Sign {
  readonly key: SignKey;
  readonly label: English;
  readonly loinc: string;
  readonly display: string;
  readonly unit: string;
  readonly ucum: string;
  /** What is typed outside of this is asked about: it is more often a slip than a patient. */
  readonly plausible: readonly [number, number];
}

export const SIGNS: readonly Sign[] = [
  { key: 'heartRate', label: 'Heart rate', loinc: '8867-4', display: 'Heart rate', unit: '/min', ucum: '/min', plausible: [20, 250] },
  { key: 'temperature', label: 'Body temperature', loinc: '8310-5', display: 'Body temperature', unit: '°C', ucum: 'Cel', plausible: [30, 43] },
  { key: 'breaths', label: 'Respiratory rate', loinc: '9279-1', display: 'Respiratory rate', unit: '/min', ucum: '/min', plausible: [4, 70] },
  { key: 'saturation', label: 'Oxygen saturation', loinc: '2708-6', display: 'Oxygen saturation in Arterial blood', unit: '%', ucum: '%', plausible: [50, 100] },
  { key: 'weight', label: 'Body weight', loinc: '29463-7', display: 'Body weight', unit: 'kg', ucum: 'kg', plausible: [0.5, 350] },
  { key: 'height', label: 'Body height', loinc: '8302-2', display: 'Body height', unit: 'cm', ucum: 'cm', plausible: [30, 230] },
];

const PRESSURE = '85354-9';
export const PRESSURES = { systolic: [50, 280], diastolic: [25, 180] } as const;

export function emptyVitals(at: string): Vitals {
  return { at, status: 'final', systolic: '', diastolic: '', values: { heartRate: '', temperature: '', breaths: '', saturation: '', weight: '', height: '' } };
}

export function writeVitals(of: Vitals): Json {
  const observation = (code: Json, rest: Json): Json => ({
    resourceType: 'Observation',
    status: of.status,
    category: category('vital-signs', 'Vital Signs'),
    code,
    effectiveDateTime: of.at,
    ...rest,
  });
  const systolic = quantityOf(of.systolic, 'mmHg', 'mm[Hg]');
  const diastolic = quantityOf(of.diastolic, 'mmHg', 'mm[Hg]');
  const pressure = systolic && diastolic
    ? [observation({ ...loinc(PRESSURE, 'Blood pressure panel with all children optional'), text: 'Blood pressure' }, {
        component: [
          { code: loinc('8480-6', 'Systolic blood pressure'), valueQuantity: systolic },
          { code: loinc('8462-4', 'Diastolic blood pressure'), valueQuantity: diastolic },
        ],
      })]
    : [];
  const others = SIGNS.flatMap((sign) => {
    const value = quantityOf(of.values[sign.key], sign.unit, sign.ucum);
    return value ? [observation(loinc(sign.loinc, sign.display), { valueQuantity: value })] : [];
  });
  return { resourceType: 'Bundle', type: 'collection', entry: [...pressure, ...others].map((resource) => ({ resource })) };
}

export function readVitals(document: Json): Vitals | undefined {
  const observations = listAt(document, 'entry').map((entry) => (entry as Json)['resource']);
  const first = observations[0];
  if (document['resourceType'] !== 'Bundle' || !isMoment(textAt(first, 'effectiveDateTime'))) return undefined;
  const codeOf = (of: unknown) => textAt(of, 'code', 'coding', 0, 'code');
  const pressure = observations.find((each) => codeOf(each) === PRESSURE);
  const values = Object.fromEntries(
    SIGNS.map((sign) => [sign.key, textAt(observations.find((each) => codeOf(each) === sign.loinc), 'valueQuantity', 'value')]),
  ) as Record<SignKey, string>;
  return {
    at: textAt(first, 'effectiveDateTime'),
    status: textAt(first, 'status'),
    systolic: textAt(pressure, 'component', 0, 'valueQuantity', 'value'),
    diastolic: textAt(pressure, 'component', 1, 'valueQuantity', 'value'),
    values,
  };
}
