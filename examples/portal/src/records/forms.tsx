// The forms: what is typed in them becomes a FHIR R4 document, digit by digit.
import { useId, useState } from 'react';
import { Button, Choice, Field } from '../ui';
import { fhirTime } from '../fhir/document';
import { readDigits } from '../fhir/digits';
import { type Laboratory, type LabTest, INTERPRETATIONS, TESTS, emptyTest } from '../fhir/laboratory';
import { FILE_TYPES, PAPERS, type Paper, promiseOf } from '../fhir/attachments';
import type { Prescription } from '../fhir/prescription';
import { PRESSURES, SIGNS, type Vitals } from '../fhir/vitals';
import type { RecordType } from '../gql/graphql';
import { bytes, t } from '../words';
import { recordType } from '../words/labels';
import { notTaken } from './files';

interface FormProps<T> {
  value: T;
  onChange: (value: T) => void;
}

/** What is wrong with a number as it is typed, if anything is. */
export function wrongNumber(typed: string, [least, most]: readonly [number, number] = [0, 1e9]): string | undefined {
  if (!typed.trim()) return undefined;
  const digits = readDigits(typed);
  if (!digits) return t('Type a number, such as 62 or 36.6.');
  const value = Number(digits.text);
  // A comma is a decimal one here, and so is a point: 1,200 is not 1200.
  if (/^-?[1-9]\d{0,2}[.,]\d{3}$/.test(typed.trim())) return t('It is read as {0}, with decimals: type thousands without a sign between them.', digits.text);
  return value < least || value > most ? t('Is that right? It is usually between {0} and {1}.', least, most) : undefined;
}

function NumberField({ label, value, unit, onChange, range, isRequired = false }: {
  label: string; value: string; unit?: string; onChange: (value: string) => void; range?: readonly [number, number]; isRequired?: boolean;
}) {
  return <Field label={label} value={value} unit={unit} onChange={onChange} hint={wrongNumber(value, range)} inputMode="decimal" isInvalid={Boolean(value.trim()) && !readDigits(value)} isRequired={isRequired} />;
}

function When({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const date = new Date(value);
  const local = Number.isNaN(date.getTime()) ? '' : fhirTime(date).slice(0, 16);
  return <Field label={t('Time')} type="datetime-local" value={local} isRequired onChange={(next) => next && onChange(fhirTime(new Date(next)))} />;
}

const OBSERVATION_STATUSES = ['final', 'preliminary', 'amended', 'corrected'] as const;

function Status({ value, onChange, options }: { value: string; onChange: (value: string) => void; options: readonly string[] }) {
  return <Choice label={t('Status')} value={value} onChange={onChange} options={options.map((each) => [each, each] as const)} />;
}

export function VitalsForm({ value, onChange }: FormProps<Vitals>) {
  const set = (part: Partial<Vitals>) => onChange({ ...value, ...part });
  return (
    <>
      <div className="row"><When value={value.at} onChange={(at) => set({ at })} /><Status value={value.status} options={OBSERVATION_STATUSES} onChange={(status) => set({ status })} /></div>
      <div className="row">
        <NumberField label={t('Systolic blood pressure')} unit="mmHg" value={value.systolic} range={PRESSURES.systolic} onChange={(systolic) => set({ systolic })} />
        <NumberField label={t('Diastolic blood pressure')} unit="mmHg" value={value.diastolic} range={PRESSURES.diastolic} onChange={(diastolic) => set({ diastolic })} />
        {SIGNS.map((sign) => (
          <NumberField key={sign.key} label={t(sign.label)} unit={sign.unit} value={value.values[sign.key]} range={sign.plausible} onChange={(typed) => set({ values: { ...value.values, [sign.key]: typed } })} />
        ))}
      </div>
    </>
  );
}

export function LaboratoryForm({ value, onChange }: FormProps<Laboratory>) {
  const set = (part: Partial<Laboratory>) => onChange({ ...value, ...part });
  const setTest = (index: number, part: Partial<LabTest>) => set({ tests: value.tests.map((test, at) => (at === index ? { ...test, ...part } : test)) });
  return (
    <>
      <div className="row"><When value={value.at} onChange={(at) => set({ at })} /><Status value={value.status} options={OBSERVATION_STATUSES} onChange={(status) => set({ status })} /><Field label={t('Laboratory')} value={value.facility} onChange={(facility) => set({ facility })} /></div>
      {value.tests.map((test, index) => (
        <fieldset key={index}>
          <legend>{t('Test {0}', index + 1)}</legend>
          <TestChoice test={test} onChange={(part) => setTest(index, part)} />
          <div className="row">
            <NumberField label={t('Value')} value={test.value} unit={test.unit} isRequired onChange={(typed) => setTest(index, { value: typed })} />
            <NumberField label={t('Reference from')} value={test.low} unit={test.unit} onChange={(low) => setTest(index, { low })} />
            <NumberField label={t('Reference to')} value={test.high} unit={test.unit} onChange={(high) => setTest(index, { high })} />
            <Choice label={t('Interpretation')} value={test.interpretation} onChange={(interpretation) => setTest(index, { interpretation })} options={Object.entries(INTERPRETATIONS).map(([code, word]) => [code, word || t('none')] as const)} />
          </div>
          {value.tests.length > 1 ? <Button kind="quiet" onPress={() => set({ tests: value.tests.filter((_, at) => at !== index) })}>{t('Remove this test')}</Button> : null}
        </fieldset>
      ))}
      <p><Button onPress={() => set({ tests: [...value.tests, emptyTest()] })}>{t('Another test')}</Button></p>
      <Field label={t('Conclusion')} rows={2} value={value.conclusion} onChange={(conclusion) => set({ conclusion })} />
    </>
  );
}

function TestChoice({ test, onChange }: { test: LabTest; onChange: (part: Partial<LabTest>) => void }) {
  const known = TESTS.find(([code]) => code === test.code);
  const [isOther, setOther] = useState(Boolean(test.code) && !known);
  const choose = (code: string) => {
    const found = TESTS.find(([each]) => each === code);
    setOther(code === 'other');
    onChange(found ? { code: found[0], name: found[1], unit: found[2] } : { code: '', name: '', unit: '' });
  };
  return (
    <>
      <Choice label={t('Which test')} value={isOther ? 'other' : test.code} onChange={choose} options={[['', t('Choose …')], ...TESTS.map(([code, name, unit]) => [code, `${name} (${unit})`] as const), ['other', t('Another one, by its LOINC code')]]} />
      {isOther ? (
        <div className="row">
          <Field label={t('LOINC code')} value={test.code} isRequired onChange={(code) => onChange({ code })} />
          <Field label={t('Name of the test')} value={test.name} isRequired onChange={(name) => onChange({ name })} />
          <Field label={t('Unit (UCUM)')} value={test.unit} isRequired onChange={(unit) => onChange({ unit })} />
        </div>
      ) : null}
    </>
  );
}

const UNITS = ['mg', 'g', 'ug', 'mL', '[IU]', 'tablet', 'capsule', 'drop', 'puff'] as const;

export function PrescriptionForm({ value, onChange }: FormProps<Prescription>) {
  const set = (part: Partial<Prescription>) => onChange({ ...value, ...part });
  return (
    <>
      <div className="row">
        <Field label={t('Medication')} value={value.medication} isRequired hint={t('Name, strength and form')} onChange={(medication) => set({ medication })} />
        <Field label={t('ATC code')} value={value.atc} onChange={(atc) => set({ atc })} />
        <Status value={value.status} options={['active', 'on-hold', 'completed', 'stopped', 'cancelled', 'draft']} onChange={(status) => set({ status })} />
      </div>
      <Field label={t('Instructions')} value={value.instructions} isRequired hint={t('As the patient reads them')} onChange={(instructions) => set({ instructions })} />
      <div className="row">
        <NumberField label={t('Dose')} value={value.dose} onChange={(dose) => set({ dose })} />
        <Choice label={t('Unit of the dose')} value={value.doseUnit} onChange={(doseUnit) => set({ doseUnit })} options={UNITS.map((unit) => [unit, unit] as const)} />
        <NumberField label={t('Times a day')} value={value.timesADay} onChange={(timesADay) => set({ timesADay })} />
        <NumberField label={t('For how many days')} value={value.days} onChange={(days) => set({ days })} />
      </div>
      <div className="row">
        <Field label={t('Reason')} value={value.reason} onChange={(reason) => set({ reason })} />
        <Field label={t('Prescriber')} value={value.prescriber} isRequired onChange={(prescriber) => set({ prescriber })} />
        <When value={value.at} onChange={(at) => set({ at })} />
      </div>
    </>
  );
}

interface PaperValue {
  readonly type: RecordType;
  readonly values: Paper;
  readonly file: File | undefined;
}

/** A file, and what it is. */
export function PaperForm({ value, onChange }: FormProps<PaperValue>) {
  const id = useId();
  const { values, file } = value;
  const set = (part: Partial<Paper>) => onChange({ ...value, values: { ...values, ...part } });
  const choose = async (chosen: File | undefined) => {
    const promised = chosen && (await promiseOf(chosen));
    onChange({ ...value, file: chosen, values: { ...values, file: promised, title: values.title || (chosen?.name.replace(/\.[^.]*$/, '') ?? '') } });
  };
  return (
    <>
      <div className="field">
        <label htmlFor={id}>{t('File')}</label>
        <input id={id} type="file" accept={FILE_TYPES.join(',')} aria-describedby={`${id}-hint`} onChange={(event) => void choose(event.target.files?.[0])} />
        <span id={`${id}-hint`} className={file && !values.file ? 'wrong' : 'hint'}>
          {file ? (values.file ? `${values.file.contentType}, ${bytes(values.file.size)}` : notTaken(file)) : t('PDF, PNG, JPEG, DICOM or plain text, at most 16 MiB')}
        </span>
      </div>
      <div className="row">
        <Field label={t('Title')} value={values.title} isRequired hint={t('As it stands in the timeline')} onChange={(title) => set({ title })} />
        <Choice label={t('What it is')} value={values.code} onChange={(code) => set({ code })} options={PAPERS.map(([code, name]) => [code, t(name)] as const)} />
        <Choice<RecordType> label={t('Type of record')} value={value.type} onChange={(type) => onChange({ ...value, type })} options={(['MEDICAL_HISTORY', 'LAB_RESULT', 'IMAGING'] as const).map((each) => [each, recordType(each)] as const)} />
      </div>
      <div className="row">
        <Field label={t('Written by')} value={values.author} isRequired onChange={(author) => set({ author })} />
        <When value={values.at} onChange={(at) => set({ at })} />
      </div>
    </>
  );
}
