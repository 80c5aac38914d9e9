// The files that a document names, as the api numbers them, and documents that promise one (docs/fhir.md#attachments).
import { fromJsonText } from './digits';
import { type Json, listAt, textAt } from './document';

const SHA256 = 'https://meditrustal.example/fhir/StructureDefinition/sha256';
/** The longest file that is stored beside a record. Unit: bytes. */
export const MOST = 16 << 20;

export interface Attachment {
  /** Which one of its document it is, from 1. */
  readonly place: number;
  readonly title: string;
  readonly contentType: string;
  /** Unit: bytes; undefined where the document does not say. */
  readonly size: number | undefined;
  /** What the file is known by, where it is beside the record. */
  readonly sha256: string;
  /** Whether it is in the document itself. */
  readonly isWithin: boolean;
  /** Where else the document says that it is; nothing goes there by itself. */
  readonly url: string;
}

/** All of them, in the order of the canonical document. */
export function attachmentsOf(canonical: string): Attachment[] {
  const found: Attachment[] = [];
  visit(fromJsonText(canonical) as Json, found);
  return found;
}

function visit(resource: Json, found: Attachment[]): void {
  const kind = textAt(resource, 'resourceType');
  if (!kind) return;
  const add = (element: unknown) => found.push(read(element, found.length + 1));
  for (const [name, value] of Object.entries(resource)) {
    if (kind === 'Media' && name === 'content') add(value);
    else if (kind === 'DiagnosticReport' && name === 'presentedForm') listAt(value).forEach(add);
    else if (kind === 'DocumentReference' && name === 'content') listAt(value).forEach((each) => has(each, 'attachment') && add(each.attachment));
    else if (name === 'contained') listAt(value).forEach((each) => visit(each as Json, found));
    else if (kind === 'Bundle' && name === 'entry') listAt(value).forEach((each) => has(each, 'resource') && visit(each.resource as Json, found));
  }
}

const has = <Name extends string>(of: unknown, name: Name): of is Record<Name, unknown> => typeof of === 'object' && of !== null && name in of;

function read(element: unknown, place: number): Attachment {
  const size = textAt(element, 'size');
  const extension = listAt(element, 'extension').find((each) => textAt(each, 'url') === SHA256);
  return {
    place,
    title: textAt(element, 'title'),
    contentType: textAt(element, 'contentType'),
    size: size ? Number(size) : undefined,
    sha256: textAt(extension, 'valueString'),
    isWithin: textAt(element, 'data') !== '',
    url: textAt(element, 'url'),
  };
}

const EXTENSIONS: Record<string, string> = { 'application/pdf': 'pdf', 'image/png': 'png', 'image/jpeg': 'jpg', 'application/dicom': 'dcm', 'text/plain': 'txt' };
export const FILE_TYPES = Object.keys(EXTENSIONS);

/** What a file is saved as: never by a name of the document's choice, which could end like a program's. */
export const fileName = (record: string, of: Attachment): string =>
  `record-${record}-${of.place}.${EXTENSIONS[of.contentType.split(';')[0]?.trim().toLowerCase() ?? ''] ?? 'bin'}`;

/** The type of a file by its first bytes, as the api decides it; undefined for one that is not taken. */
export function fileType(head: Uint8Array): string | undefined {
  const begins = (...bytes: number[]) => bytes.every((byte, index) => head[index] === byte);
  if (begins(0x25, 0x50, 0x44, 0x46, 0x2d)) return 'application/pdf';
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'image/png';
  if (begins(0xff, 0xd8, 0xff)) return 'image/jpeg';
  if (head[128] === 0x44 && head[129] === 0x49 && head[130] === 0x43 && head[131] === 0x4d) return 'application/dicom';
  return head.length > 0 && head.every((byte) => byte >= 0x20 || [0x09, 0x0a, 0x0c, 0x0d].includes(byte)) ? 'text/plain' : undefined;
}

/** What a document says of a file: what it is, how long, and its SHA-256. */
export interface Promised {
  readonly contentType: string;
  readonly size: number;
  readonly sha256: string;
}

/** Undefined where the file is empty, too long, or of a type that is not taken. */
export async function promiseOf(file: Blob): Promise<Promised | undefined> {
  if (file.size === 0 || file.size > MOST) return undefined;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const contentType = fileType(bytes.subarray(0, 132));
  return contentType === undefined ? undefined : { contentType, size: bytes.length, sha256: await sha256Of(bytes) };
}

async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What a paper is, by the codes of LOINC for documents. */
export const PAPERS = [
  ['18842-5', 'Discharge summary'],
  ['11488-4', 'Consult note'],
  ['57133-1', 'Referral note'],
  ['11502-2', 'Laboratory report'],
  ['18748-4', 'Diagnostic imaging study'],
  ['34133-9', 'Summary of episode note'],
] as const;

export interface Paper {
  readonly code: string;
  readonly title: string;
  readonly author: string;
  readonly at: string;
  readonly file: Promised | undefined;
}

export const emptyPaper = (at: string, author: string): Paper => ({ code: PAPERS[0][0], title: '', author, at, file: undefined });

/** A document that promises the file, which is sent once the document is stored. */
export function writePaper({ code, title, author, at, file }: Paper): Json {
  const display = PAPERS.find(([each]) => each === code)?.[1];
  return {
    resourceType: 'DocumentReference',
    status: 'current',
    type: { coding: [{ system: 'http://loinc.org', code, display }] },
    date: at,
    author: [{ display: author.trim() }],
    description: title.trim(),
    content: [{ attachment: { contentType: file?.contentType, title: title.trim(), size: file?.size, extension: [{ url: SHA256, valueString: file?.sha256 }] } }],
  };
}
