// Laboratory results: a DiagnosticReport that contains an Observation for each test.
import { type Json, category, coded, isMoment, listAt, loinc, quantityOf, textAt } from './document';

export interface LabTest {
  readonly code: string;
  readonly name: string;
  readonly value: string;
  readonly unit: string;
  readonly low: string;
  readonly high: string;
  /** A code of v3-ObservationInterpretation, or nothing. */
  readonly interpretation: string;
}

export interface Laboratory {
  readonly at: string;
  readonly status: string;
  readonly facility: string;
  readonly conclusion: string;
  readonly tests: readonly LabTest[];
}

/** Frequent tests, to be chosen by name: LOINC code, its name, and the unit in UCUM. */
export const TESTS: readonly (readonly [string, string, string])[] = [
  ['4548-4', 'Hemoglobin A1c/Hemoglobin.total in Blood', '%'],
  ['1558-6', 'Fasting glucose [Mass/volume] in Serum or Plasma', 'mg/dL'],
  ['718-7', 'Hemoglobin [Mass/volume] in Blood', 'g/dL'],
  ['6690-2', 'Leukocytes [#/volume] in Blood by Automated count', '10*3/uL'],
  ['777-3', 'Platelets [#/volume] in Blood by Automated count', '10*3/uL'],
  ['2160-0', 'Creatinine [Mass/volume] in Serum or Plasma', 'mg/dL'],
  ['2823-3', 'Potassium [Moles/volume] in Serum or Plasma', 'mmol/L'],
  ['2951-2', 'Sodium [Moles/volume] in Serum or Plasma', 'mmol/L'],
  ['2093-3', 'Cholesterol [Mass/volume] in Serum or Plasma', 'mg/dL'],
  ['1988-5', 'C reactive protein [Mass/volume] in Serum or Plasma', 'mg/L'],
  ['3016-3', 'Thyrotropin [Units/volume] in Serum or Plasma', 'm[IU]/L'],
];

export const INTERPRETATIONS = { '': '', L: 'Low', N: 'Normal', H: 'High', LL: 'Critical low', HH: 'Critical high' } as const;

export const emptyTest = (): LabTest => ({ code: '', name: '', value: '', unit: '', low: '', high: '', interpretation: '' });
export const emptyLaboratory = (at: string): Laboratory => ({ at, status: 'final', facility: '', conclusion: '', tests: [emptyTest()] });

export function writeLaboratory(of: Laboratory): Json {
  const performer = of.facility.trim() ? [{ display: of.facility.trim() }] : undefined;
  const tests = of.tests.map((test) => ({ ...test, code: test.code.trim(), name: test.name.trim(), unit: test.unit.trim() }));
  const contained = tests.map((test, index): Json => {
    const low = quantityOf(test.low, test.unit, test.unit);
    const high = quantityOf(test.high, test.unit, test.unit);
    return {
      resourceType: 'Observation',
      id: `test-${index + 1}`,
      status: of.status,
      category: category('laboratory', 'Laboratory'),
      code: loinc(test.code, test.name),
      effectiveDateTime: of.at,
      performer,
      valueQuantity: quantityOf(test.value, test.unit, test.unit),
      interpretation: test.interpretation
        ? [coded('http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation', test.interpretation, INTERPRETATIONS[test.interpretation as keyof typeof INTERPRETATIONS])]
        : undefined,
      referenceRange: low || high ? [{ low, high }] : undefined,
    };
  });
  const [only] = tests;
  return {
    resourceType: 'DiagnosticReport',
    contained,
    status: of.status,
    category: [coded('http://terminology.hl7.org/CodeSystem/v2-0074', 'LAB', 'Laboratory')],
    code: of.tests.length === 1 && only ? loinc(only.code, only.name) : loinc('11502-2', 'Laboratory report'),
    effectiveDateTime: of.at,
    performer,
    result: contained.map((test) => ({ reference: `#${String(test['id'])}` })),
    conclusion: of.conclusion.trim() || undefined,
  };
}

export function readLaboratory(document: Json): Laboratory | undefined {
  if (document['resourceType'] !== 'DiagnosticReport' || !isMoment(textAt(document, 'effectiveDateTime'))) return undefined;
  return {
    at: textAt(document, 'effectiveDateTime'),
    status: textAt(document, 'status'),
    facility: textAt(document, 'performer', 0, 'display'),
    conclusion: textAt(document, 'conclusion'),
    tests: listAt(document, 'contained').map((test) => ({
      code: textAt(test, 'code', 'coding', 0, 'code'),
      name: textAt(test, 'code', 'coding', 0, 'display'),
      value: textAt(test, 'valueQuantity', 'value'),
      unit: textAt(test, 'valueQuantity', 'unit'),
      low: textAt(test, 'referenceRange', 0, 'low', 'value'),
      high: textAt(test, 'referenceRange', 0, 'high', 'value'),
      interpretation: textAt(test, 'interpretation', 0, 'coding', 0, 'code'),
    })),
  };
}
