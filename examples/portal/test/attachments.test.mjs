// Files of documents: numbered as the api numbers them, and promised as it takes them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { load } from './load.mjs';

process.env.TZ = 'Asia/Jakarta';
globalThis.navigator ??= { language: 'en-GB' };
Object.defineProperty(globalThis, 'localStorage', { value: { getItem: () => 'en', setItem() {} }, configurable: true });
const it = await load('test/all.ts');
const SHA256 = 'https://meditrustal.example/fhir/StructureDefinition/sha256';
const promised = (title) => ({ title, contentType: 'application/pdf', size: 12, extension: [{ url: 'urn:other', valueString: 'no' }, { url: SHA256, valueString: 'ab'.repeat(32) }] });

test('the files of a document are numbered in the order in which they stand in it', () => {
  const document = {
    entry: [
      { resource: { contained: [{ content: { data: 'aGk=', title: 'first' }, resourceType: 'Media' }], presentedForm: [promised('second'), { title: 'third', url: 'https://other.example/file' }], resourceType: 'DiagnosticReport' } },
      { fullUrl: 'urn:uuid:1' },
      { resource: { content: [{ format: {} }, { attachment: promised('fourth') }], resourceType: 'DocumentReference' } },
      // What has the same name in another resource is no file.
      { resource: { content: [{ attachment: promised('none') }], resourceType: 'Communication' } },
    ],
    resourceType: 'Bundle',
  };
  const found = it.attachmentsOf(JSON.stringify(document));
  assert.deepEqual(found.map(({ place, title }) => [place, title]), [[1, 'first'], [2, 'second'], [3, 'third'], [4, 'fourth']]);
  assert.deepEqual(found.map(({ isWithin, sha256 }) => [isWithin, sha256 !== '']), [[true, false], [false, true], [false, false], [false, true]]);
  assert.deepEqual([found[1].size, found[0].size, found[2].url], [12, undefined, 'https://other.example/file']);
  assert.deepEqual(it.attachmentsOf('{"resourceType":"Observation"}'), []);
});

test('what a file is saved as ends as its type, whatever the document calls it', () => {
  const [of] = it.attachmentsOf(JSON.stringify({ resourceType: 'Media', content: promised('evil.exe') }));
  assert.equal(it.fileName('r', of), 'record-r-1.pdf');
  assert.equal(it.fileName('r', { ...of, contentType: 'Text/Plain; charset=utf-8' }), 'record-r-1.txt');
  assert.equal(it.fileName('r', { ...of, contentType: 'application/x-msdownload' }), 'record-r-1.bin');
});

test('a file is of the type that its first bytes say', () => {
  const bytes = (text) => new TextEncoder().encode(text);
  const dicom = new Uint8Array(132);
  dicom.set(bytes('DICM'), 128);
  for (const [head, type] of [
    [bytes('%PDF-1.7\n'), 'application/pdf'], [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), 'image/png'], [Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), 'image/jpeg'],
    [dicom, 'application/dicom'], [bytes('Grüße,\r\n'), 'text/plain'], [Uint8Array.of(0x50, 0x4b, 0x03, 0x04), undefined], [bytes('GIF89a\u0001'), undefined], [new Uint8Array(), undefined],
  ]) assert.equal(it.fileType(head), type);
});

test('a paper promises its file, which is then found in it', async () => {
  const file = new Blob(['%PDF-1.7\nhello']);
  const promise = await it.promiseOf(file);
  const sha256 = createHash('sha256').update('%PDF-1.7\nhello').digest('hex');
  assert.deepEqual(promise, { contentType: 'application/pdf', size: 14, sha256 });
  const document = it.writePaper({ ...it.emptyPaper('2026-03-04T09:15:00+07:00', 'dr.bo'), title: ' Letter ', file: promise });
  assert.deepEqual(it.attachmentsOf(it.toJsonText(document)), [{ place: 1, title: 'Letter', contentType: 'application/pdf', size: 14, sha256, isWithin: false, url: '' }]);
  assert.equal(await it.promiseOf(new Blob([])), undefined);
  assert.equal(await it.promiseOf(new Blob(['PK\u0003\u0004'])), undefined);
});
