// Writing a record, and amending one.
import type { CombinedError } from '@urql/core';
import { type FormEvent, type ReactNode, useMemo, useState } from 'react';
import { useMutation } from 'urql';
import { Link, useLocation } from 'wouter';
import { useActing } from '../api/acting';
import { upload } from '../api/client';
import { session } from '../api/session';
import { asVariable, prettyJson, readDigits, toJsonText } from '../fhir/digits';
import { type Json, fhirTime, readBack } from '../fhir/document';
import { emptyLaboratory, readLaboratory, writeLaboratory } from '../fhir/laboratory';
import { type Paper, emptyPaper, writePaper } from '../fhir/attachments';
import { emptyPrescription, readPrescription, writePrescription } from '../fhir/prescription';
import { emptyVitals, readVitals, writeVitals } from '../fhir/vitals';
import type { PurposeOfUse, RecordType } from '../gql/graphql';
import { Button, Card, Choice, Failure, Field, Form, Loaded, Notice, Page } from '../ui';
import { t } from '../words';
import { RECORD_TYPES, recordType } from '../words/labels';
import { filePath, notTaken } from './files';
import { useNewerVersion } from './follow';
import { LaboratoryForm, PaperForm, PrescriptionForm, VitalsForm } from './forms';
import { AMEND_RECORD, CREATE_RECORD, type FoundRecord as Found, remember, useRecord } from './queries';

type Values =
  | { kind: 'VITAL_SIGNS'; values: ReturnType<typeof emptyVitals> }
  | { kind: 'LAB_RESULT'; values: ReturnType<typeof emptyLaboratory> }
  | { kind: 'PRESCRIPTION'; values: ReturnType<typeof emptyPrescription> }
  | { kind: 'PAPER'; type: RecordType; values: Paper; file: File | undefined }
  | { kind: 'JSON'; type: RecordType; text: string };

function textOf(of: Values): string {
  const write = (): Json | string => {
    switch (of.kind) {
      case 'VITAL_SIGNS':
        return writeVitals(of.values);
      case 'LAB_RESULT':
        return writeLaboratory(of.values);
      case 'PRESCRIPTION':
        return writePrescription(of.values);
      case 'PAPER':
        return writePaper(of.values);
      case 'JSON':
        return of.text;
    }
  };
  const written = write();
  return typeof written === 'string' ? written : toJsonText(written);
}

/** Why it cannot be sent yet, if it cannot. */
function missing(of: Values): string | undefined {
  if (of.kind === 'JSON') {
    try {
      JSON.parse(of.text);
      return undefined;
    } catch (error) {
      return t('This is no JSON: {0}', error instanceof Error ? error.message : '');
    }
  }
  const isNone = (typed: string) => typed.trim() !== '' && !readDigits(typed);
  if (of.kind === 'VITAL_SIGNS') {
    if ([of.values.systolic, of.values.diastolic, ...Object.values(of.values.values)].some(isNone)) return t('Type a number, such as 62 or 36.6.');
    if (Boolean(of.values.systolic.trim()) !== Boolean(of.values.diastolic.trim())) return t('A blood pressure has two values.');
    return (writeVitals(of.values)['entry'] as unknown[]).length === 0 ? t('Type at least one value.') : undefined;
  }
  if (of.kind === 'LAB_RESULT') {
    if (of.values.tests.some((test) => [test.value, test.low, test.high].some(isNone))) return t('Type a number, such as 62 or 36.6.');
    return of.values.tests.every((test) => test.code.trim() && test.value.trim()) ? undefined : t('Each test needs a name and a value.');
  }
  if (of.kind === 'PAPER') {
    if (!of.values.title.trim() || !of.values.author.trim()) return t('Type what it is, and who wrote it.');
    return of.file && of.values.file ? undefined : of.file ? notTaken(of.file) : t('Choose a file.');
  }
  const { medication, instructions, prescriber, dose, timesADay, days } = of.values;
  if (![medication, instructions, prescriber].every((text) => text.trim())) return t('Type the medication, the instructions and who prescribes.');
  if ([dose, days].some((typed) => typed.trim() !== '' && !(Number(readDigits(typed)?.text) > 0))) return t('A dose and a number of days are more than 0.');
  return timesADay.trim() === '' || /^[1-9]\d*$/.test(timesADay.trim()) ? undefined : t('How many times a day is a whole number, from 1.');
}

/** The type of a record stays what it is when it is amended. */
function Editor({ of, onChange, hasType = false }: { of: Values; onChange: (of: Values) => void; hasType?: boolean }): ReactNode {
  switch (of.kind) {
    case 'VITAL_SIGNS':
      return <VitalsForm value={of.values} onChange={(values) => onChange({ kind: 'VITAL_SIGNS', values })} />;
    case 'LAB_RESULT':
      return <LaboratoryForm value={of.values} onChange={(values) => onChange({ kind: 'LAB_RESULT', values })} />;
    case 'PRESCRIPTION':
      return <PrescriptionForm value={of.values} onChange={(values) => onChange({ kind: 'PRESCRIPTION', values })} />;
    case 'PAPER':
      return <PaperForm value={of} onChange={(next) => onChange({ kind: 'PAPER', ...next })} />;
    case 'JSON':
      return (
        <>
          {hasType ? <Choice label={t('Type of record')} value={of.type} onChange={(type) => onChange({ ...of, type })} options={RECORD_TYPES.map((type) => [type, recordType(type)] as const)} /> : null}
          <Field label={t('Document (FHIR R4, JSON)')} name="document" rows={16} value={of.text} isRequired onChange={(text) => onChange({ ...of, text })} />
        </>
      );
  }
}

function begin(kind: Values['kind']): Values {
  const now = fhirTime(new Date());
  switch (kind) {
    case 'VITAL_SIGNS':
      return { kind, values: emptyVitals(now) };
    case 'LAB_RESULT':
      return { kind, values: emptyLaboratory(now) };
    case 'PRESCRIPTION':
      return { kind, values: emptyPrescription(now, session.get()?.person.username ?? '') };
    case 'PAPER':
      return { kind, type: 'MEDICAL_HISTORY', values: emptyPaper(now, session.get()?.person.username ?? ''), file: undefined };
    case 'JSON':
      return { kind, type: 'DIAGNOSIS', text: '' };
  }
}

export function NewRecord({ patientId, back }: { patientId: string; back: string }) {
  const [draft, setDraft] = useState<Values>(() => begin('VITAL_SIGNS'));
  const [{ fetching, error }, create] = useMutation(CREATE_RECORD);
  const [, go] = useLocation();
  // One key for one form: who presses twice, or loses the answer, stores one record.
  const [key, setKey] = useState(() => crypto.randomUUID());
  const [wrong, setWrong] = useState<string>();
  const [unsent, setUnsent] = useState<string>();
  const [isSending, setSending] = useState(false);
  const acting = useActing();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const why = missing(draft);
    setWrong(why);
    if (why) return;
    const recordType = draft.kind === 'JSON' || draft.kind === 'PAPER' ? draft.type : draft.kind;
    const input = { patientId, recordType, document: asVariable(textOf(draft)), idempotencyKey: key };
    const { data } = await create({ input, onBehalfOf: acting?.patient.id ?? null });
    const record = data?.createMedicalRecord?.record;
    if (!record) return;
    remember([record]);
    if (draft.kind === 'PAPER' && draft.file) {
      setSending(true);
      const isSent = await upload(filePath(record.id, 1, undefined, acting?.patient.id), draft.file).then(() => true, () => false);
      setSending(false);
      if (!isSent) return setUnsent(record.id);
    }
    go(acting && !acting.activities.has('READ_RECORDS') ? '~/representatives' : `/records/${record.id}`, { replace: true });
  };
  return (
    <Page title={t('Write a record')} lead={<Link className="back" href={back}>{t('back')}</Link>}>
      <Card>
        <Form error={error} onSubmit={submit}>
          <Choice<Values['kind']>
            label={t('What')}
            value={draft.kind}
            onChange={(kind) => { setDraft(begin(kind)); setKey(crypto.randomUUID()); }}
            options={[['VITAL_SIGNS', t('Vital signs')], ['LAB_RESULT', t('Laboratory result')], ['PRESCRIPTION', t('Prescription')], ['PAPER', t('A file: a letter, a report, a picture')], ['JSON', t('Another document (FHIR R4)')]]}
          />
          <Editor of={draft} hasType onChange={(next) => { setDraft(next); setKey(crypto.randomUUID()); }} />
          {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
          <Failure error={error} />
          {unsent ? <Notice kind="bad">{t('The record is stored, but its file did not arrive: press again, or send it on the page of the record.')} <Link href={`/records/${unsent}`}>{t('Open the record')}</Link></Notice> : null}
          <div className="actions"><Button type="submit" kind="main" isPending={fetching || isSending}>{t('Store the record')}</Button></div>
        </Form>
      </Card>
    </Page>
  );
}

export function AmendRecord({ id, purpose }: { id: string; purpose?: PurposeOfUse }) {
  const result = useRecord(id, purpose, 'network-only');
  const newer = useNewerVersion(id, result.data?.id === id ? result.data : undefined);
  const suffix = purpose ? `/as/${purpose}` : '';
  return (
    <Page title={t('Amend a record')} lead={<Link className="back" href={`/records/${id}${suffix}`}>{t('back')}</Link>}>
      <div className={newer ? 'notice warn' : undefined} data-testid="overtaken">
        <span role="status">{newer ? t('Somebody stored a newer version meanwhile: this one can no longer be amended.') : ''}</span>
        {newer ? <> <Link href={`/records/${newer}${suffix}`}>{t('Open it')}</Link></> : null}
      </div>
      <Loaded of={result}>{(record) => <AmendForm record={record} {...(purpose ? { purpose } : {})} />}</Loaded>
    </Page>
  );
}

/** The form that can say all of the document; else its text. */
function toAmend(record: Found): Values {
  const text = record.canonical ?? '';
  const asAmended = <T extends { status: string }>(values: T): T => (values.status === 'final' ? { ...values, status: 'amended' } : values);
  if (text && record.recordType === 'VITAL_SIGNS') {
    const values = readBack(text, readVitals, writeVitals);
    if (values) return { kind: 'VITAL_SIGNS', values: asAmended(values) };
  }
  if (text && record.recordType === 'LAB_RESULT') {
    const values = readBack(text, readLaboratory, writeLaboratory);
    if (values) return { kind: 'LAB_RESULT', values: asAmended(values) };
  }
  if (text && record.recordType === 'PRESCRIPTION') {
    const values = readBack(text, readPrescription, writePrescription);
    if (values) return { kind: 'PRESCRIPTION', values };
  }
  return { kind: 'JSON', type: record.recordType, text: prettyJson(text) };
}

function AmendForm({ record, purpose }: { record: Found; purpose?: PurposeOfUse }) {
  const first = useMemo(() => toAmend(record), [record]);
  const [draft, setDraft] = useState(first);
  const [reason, setReason] = useState('');
  const [error, setError] = useState<CombinedError>();
  const [wrong, setWrong] = useState<string>();
  const [{ fetching }, amend] = useMutation(AMEND_RECORD);
  const [, go] = useLocation();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const why = missing(draft);
    setWrong(why);
    if (why) return;
    const input = { id: record.id, expectedVersion: record.version, document: asVariable(textOf(draft)), reason, purpose: purpose ?? null };
    const answer = await amend({ input });
    setError(answer.error);
    const next = answer.data?.amendMedicalRecord?.record;
    if (!next) return;
    remember([next]);
    go(`/records/${next.id}${purpose ? `/as/${purpose}` : ''}`, { replace: true });
  };
  return (
    <Card title={recordType(record.recordType)}>
      <Form error={error} onSubmit={submit}>
        <Editor of={draft} onChange={setDraft} />
        <Field label={t('Why is it amended?')} name="reason" value={reason} isRequired minLength={10} maxLength={500} hint={t('10 to 500 characters, kept with the record')} onChange={setReason} />
        {wrong ? <Notice kind="bad">{wrong}</Notice> : null}
        <Failure error={error} />
        <div className="actions"><Button type="submit" kind="main" isPending={fetching}>{t('Store the new version')}</Button></div>
      </Form>
    </Card>
  );
}
