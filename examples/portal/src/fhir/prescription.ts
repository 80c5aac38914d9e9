// A prescription: a MedicationRequest with one dosage.
import { Digits, readDigits } from './digits';
import { type Json, isMoment, textAt } from './document';

export interface Prescription {
  readonly at: string;
  readonly status: string;
  readonly medication: string;
  /** A code of the WHO's ATC, or nothing. */
  readonly atc: string;
  readonly instructions: string;
  readonly dose: string;
  readonly doseUnit: string;
  readonly timesADay: string;
  readonly days: string;
  readonly reason: string;
  readonly prescriber: string;
}

export const emptyPrescription = (at: string, prescriber: string): Prescription => ({
  at, status: 'active', medication: '', atc: '', instructions: '', dose: '', doseUnit: 'mg', timesADay: '', days: '', reason: '', prescriber,
});

const UCUM = 'http://unitsofmeasure.org';

export function writePrescription(of: Prescription): Json {
  const dose = readDigits(of.dose);
  const times = readDigits(of.timesADay);
  const days = readDigits(of.days);
  const one = new Digits('1');
  return {
    resourceType: 'MedicationRequest',
    status: of.status,
    intent: 'order',
    medicationCodeableConcept: {
      coding: of.atc.trim() ? [{ system: 'http://www.whocc.no/atc', code: of.atc.trim() }] : undefined,
      text: of.medication.trim(),
    },
    authoredOn: of.at,
    requester: { display: of.prescriber.trim() },
    reasonCode: of.reason.trim() ? [{ text: of.reason.trim() }] : undefined,
    dosageInstruction: [{
      text: of.instructions.trim(),
      timing: times && { repeat: {
        boundsDuration: days && { value: days, unit: 'd', system: UCUM, code: 'd' },
        frequency: times, period: one, periodUnit: 'd',
      } },
      doseAndRate: dose && [{ doseQuantity: doseOf(dose, of.doseUnit.trim()) }],
    }],
    dispenseRequest: days && { expectedSupplyDuration: { value: days, unit: 'd', system: UCUM, code: 'd' } },
  };
}

const MEASURES = new Set(['mg', 'g', 'ug', 'mL', 'L', '[IU]']);

/** A unit that UCUM knows is coded; a tablet is a word. */
const doseOf = (value: Digits, unit: string): Json => (MEASURES.has(unit) ? { value, unit, system: UCUM, code: unit } : { value, unit });

export function readPrescription(document: Json): Prescription | undefined {
  if (document['resourceType'] !== 'MedicationRequest' || !isMoment(textAt(document, 'authoredOn'))) return undefined;
  const dosage = (...path: (string | number)[]) => textAt(document, 'dosageInstruction', 0, ...path);
  return {
    at: textAt(document, 'authoredOn'),
    status: textAt(document, 'status'),
    medication: textAt(document, 'medicationCodeableConcept', 'text'),
    atc: textAt(document, 'medicationCodeableConcept', 'coding', 0, 'code'),
    instructions: dosage('text'),
    dose: dosage('doseAndRate', 0, 'doseQuantity', 'value'),
    doseUnit: dosage('doseAndRate', 0, 'doseQuantity', 'unit') || 'mg',
    timesADay: dosage('timing', 'repeat', 'frequency'),
    days: textAt(document, 'dispenseRequest', 'expectedSupplyDuration', 'value'),
    reason: textAt(document, 'reasonCode', 0, 'text'),
    prescriber: textAt(document, 'requester', 'display'),
  };
}
