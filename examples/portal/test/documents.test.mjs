// Documents: numbers keep their digits, and a form takes only what it can say again.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, portal } from './load.mjs';

// What a browser has, where the words ask for it.
process.env.TZ = 'Asia/Jakarta';
globalThis.navigator ??= { language: 'en-GB' };
Object.defineProperty(globalThis, 'localStorage', { value: { getItem: () => 'en', setItem() {} }, configurable: true });
const it = await load('test/all.ts');
const examples = join(portal, '../../crates/fhir/examples/documents');
const AT = '2026-03-04T09:15:00+07:00';

test('numbers keep their digits, whichever way a document goes', async () => {
  const written = '{"value":62.0,"low":[4.10,-0.50,7],"text":"8.10 is no number, nor \\"1.0\\"","none":null,"is":true}';
  assert.equal(it.toJsonText(it.fromJsonText(written)), written);
  assert.match(it.prettyJson(written), /"value": 62\.0,\n/);
  const request = JSON.stringify({ variables: { document: it.asVariable(written), other: 'json:x' } });
  assert.equal(it.restoreJsonText(request), `{"variables":{"document":${written},"other":"json:x"}}`);
  for (const name of await readdir(examples)) {
    const text = await readFile(join(examples, name), 'utf8');
    const compact = it.toJsonText(it.fromJsonText(text));
    assert.deepEqual(JSON.parse(compact), JSON.parse(text), name);
    assert.deepEqual(compact.match(/-?\d+\.\d+/g), text.match(/-?\d+\.\d+/g), name);
    assert.equal(it.prettyJson(it.prettyJson(compact)), it.prettyJson(compact), name);
  }
});

test('no text is changed for the sake of its looks', () => {
  const written = '{"text":"[ ] no, { } nor [  ]","empty":{},"none":[],"in":[[],{}],"quote":"\\"[ ]\\\\"}';
  const pretty = it.prettyJson(written);
  assert.deepEqual(JSON.parse(pretty), JSON.parse(written));
  assert.equal(pretty, JSON.stringify(JSON.parse(written), null, 2));
});

test('a date is as exact as it is written, and a time says which one it was there', () => {
  assert.equal(it.fhirDate('2026'), '2026');
  assert.equal(it.fhirDate('2026-03'), 'Mar 2026');
  assert.equal(it.fhirDate('2026-03-04'), '4 Mar 2026');
  assert.equal(it.fhirDate('2026-03-04T09:15:00+07:00'), '4 Mar 2026, 09:15');
  assert.equal(it.fhirDate('2026-03-04T02:15:00Z'), '4 Mar 2026, 09:15');
  assert.equal(it.fhirDate('2026-03-03T21:15:30.5-05:00'), '4 Mar 2026, 09:15 (2026-03-03 21:15 -05:00)');
  assert.equal(it.fhirDate('before the war'), 'before the war');
  assert.equal(it.fhirDate('2024-03-01 – 2025-02'), '1 Mar 2024 – Feb 2025');
  assert.equal(it.fhirDate('2024 –'), '2024 –');
  assert.equal(it.fhirDate('– 2025-02-01'), '– 1 Feb 2025');
  assert.equal(it.fhirDate('– 2026-03-04T02:15:00Z'), '– 4 Mar 2026, 09:15');
  assert.equal(it.fhirDate('40 years – 50 years'), '40 years – 50 years');
  assert.equal(it.fhirDate('2 times per 1 d'), '2 times per 1 d');
});

test('the latest value stands, and is of the patient', () => {
  const measured = (value, effective, more = {}) => ({
    name: 'Potassium', value, comparator: null, unit: 'mmol/L', unitCode: 'mmol/L', text: null, code: null, interpretations: [], components: [], focus: [], status: 'final',
    referenceRanges: [{ low: { value: '3.5', comparator: null, unit: 'mmol/L', code: 'mmol/L' }, high: { value: '5.1', comparator: null, unit: 'mmol/L', code: 'mmol/L' }, text: null }],
    effective, ...more,
  });
  const node = (id, result, more = {}) => ({ id, isWithdrawn: false, summary: { __typename: 'LabResultSummary', unsupportedModifiers: [], results: [result] }, ...more });
  const sound = node('sound', measured('4.10', '2026-03-01T09:15:00+07:00'));
  const others = [
    node('withdrawn', measured('9.9', '2026-03-02'), { isWithdrawn: true }),
    node('wrong', measured('9.9', '2026-03-03', { status: 'entered-in-error' })),
    node('child', measured('9.9', '2026-03-04', { focus: [{ name: 'Fetus', reference: null }] })),
    node('month', measured('9.9', '2026-03')),
    node('never', measured('9.9', null)),
    node('modified', measured('9.9', '2026-03-05'), { summary: { __typename: 'LabResultSummary', unsupportedModifiers: ['modifierExtension'], results: [measured('9.9', '2026-03-05')] } }),
  ];
  for (const nodes of [[sound, ...others], [...others, sound], [...others.slice(0, 4), sound, ...others.slice(4)]]) {
    const [trend, ...more] = it.trendsOf(nodes);
    assert.equal(more.length, 0);
    assert.equal(trend.values.length, 7, 'the table has all of them');
    assert.deepEqual(trend.values.filter((value) => value.isDrawn).map((value) => value.record), ['sound']);
    assert.equal(it.latestOf(trend).of.value, '4.10');
    assert.deepEqual(it.boundsOf(trend, it.latestOf(trend)), [3.5, 5.1]);
  }
  const [below] = it.trendsOf([sound, node('below', measured('0.5', '2026-03-06', { comparator: '<' }))]);
  assert.equal(it.latestOf(below).record, 'below');
  assert.equal(below.values.at(-1).isDrawn, false);
  const range = measured('4', '2026-03-07').referenceRanges[0];
  const [two] = it.trendsOf([node('two', measured('4', '2026-03-07', { referenceRanges: [range, range] }))]);
  assert.deepEqual(it.boundsOf(two, it.latestOf(two)), [undefined, undefined]);
  for (const [code, bounds] of [['critical', [undefined, undefined]], ['normal', [3.5, 5.1]]]) {
    const meaning = { codings: [{ code }] };
    const [meant] = it.trendsOf([node(code, measured('4', '2026-03-07', { referenceRanges: [{ ...range, meaning }] }))]);
    assert.deepEqual(it.boundsOf(meant, it.latestOf(meant)), bounds, code);
  }
  const [foreign] = it.trendsOf([node('foreign', measured('4', '2026-03-07', { referenceRanges: [{ ...range, low: { ...range.low, unit: 'mg/dL', code: 'mg/dL' } }] }))]);
  assert.deepEqual(it.boundsOf(foreign, it.latestOf(foreign)), [undefined, 5.1]);
});

test('what is typed is a number, or none', () => {
  for (const [typed, text] of [['62.0', '62.0'], [' 36,6 ', '36.6'], ['-1', '-1'], ['0.50', '0.50']]) assert.equal(it.readDigits(typed).text, text);
  for (const typed of ['', '1e3', '062', '1.', '.5', '1,2,3', '12a', 'NaN']) assert.equal(it.readDigits(typed), undefined, typed);
});

test('each form reads back what it wrote', () => {
  const vitals = { ...it.emptyVitals(AT), systolic: '128', diastolic: '82', values: { ...it.emptyVitals(AT).values, heartRate: '62.0', temperature: '36.6' } };
  const laboratory = { ...it.emptyLaboratory(AT), facility: 'Klinik', conclusion: 'High.', tests: [
    { code: '4548-4', name: 'Hemoglobin A1c', value: '8.10', unit: '%', low: '4.0', high: '5.6', interpretation: 'H' },
    { code: '718-7', name: 'Hemoglobin', value: '13', unit: 'g/dL', low: '', high: '', interpretation: '' },
  ] };
  const prescription = { ...it.emptyPrescription(AT, 'dr.bo'), medication: 'Metformin 500 mg', atc: 'A10BA02', instructions: 'Twice a day', dose: '500', timesADay: '2', days: '30', reason: 'Diabetes' };
  for (const [values, write, read] of [
    [vitals, it.writeVitals, it.readVitals],
    [laboratory, it.writeLaboratory, it.readLaboratory],
    [prescription, it.writePrescription, it.readPrescription],
  ]) {
    // As the server gives it back: with an id, a salt and the patient.
    const stored = { ...it.fromJsonText(it.toJsonText(write(values))), id: '1', meta: { versionId: '1' }, subject: { reference: 'Patient/1' } };
    assert.deepEqual(it.readBack(it.toJsonText(stored), read, write), values);
    assert.equal(it.readBack(it.toJsonText({ ...stored, note: [{ text: 'The form has no field for this.' }] }), read, write), undefined);
    for (const time of ['effectiveDateTime', 'authoredOn']) {
      const month = it.toJsonText(stored).replaceAll(`"${time}":"${AT}"`, `"${time}":"2026-03"`);
      assert.ok(month === it.toJsonText(stored) || it.readBack(month, read, write) === undefined, 'a form would make up a day');
    }
    assert.equal(it.readBack(it.toJsonText({ ...stored, modifierExtension: [{ url: 'http://example.org' }] }), read, write), undefined);
  }
});

test('no form takes a document that says more than it has fields for', async () => {
  for (const [name, read, write] of [
    ['vital-signs', it.readVitals, it.writeVitals],
    ['lab-result', it.readLaboratory, it.writeLaboratory],
    ['prescription', it.readPrescription, it.writePrescription],
  ]) {
    assert.equal(it.readBack(await readFile(join(examples, `${name}.json`), 'utf8'), read, write), undefined, name);
  }
});
