// Documents: numbers keep their digits, and a form takes only what it can say again.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { load, portal } from './load.mjs';

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
