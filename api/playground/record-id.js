// The id of a record of whoever is logged in, which the examples are filled in with.
import { session } from './session.js';
import { state } from './state.js';

/** Of the record that an answer named last; null where none has. */
export const recordId = state(null);

/** Whose it is. */
let owner;
/** For whom it was asked: once, since each reading of a list is in the audit trail. */
let askedFor;
let ask;

/** Says how to ask for one: answers the data of a query. */
export function askBy(query) {
  ask = query;
}

session.subscribe(() => {
  if (session.get()?.user.id !== owner) recordId.set(null);
  if (!session.get()) askedFor = undefined;
});

/** Notes what an answer names: a record that was stored, the first one of a list, or one that is told of. */
export function noteRecord(data) {
  const stored = [data?.createMedicalRecord, data?.amendMedicalRecord].map((payload) => payload?.record?.id);
  const id = [...stored, data?.medicalRecords?.nodes?.[0]?.id, data?.recordUpdated?.recordId].find((each) => typeof each === 'string');
  if (!id || !session.get()) return;
  owner = session.get().user.id;
  recordId.set(id);
}

/** Asks for one where none is known. Administrators have none. */
export async function findRecord() {
  const user = session.get()?.user;
  if (recordId.get() || !user || user.role === 'ADMIN' || askedFor === user.id) return;
  askedFor = user.id;
  const data = await ask('query OwnRecord { medicalRecords(first: 1) { nodes { id } } }', 'OwnRecord').catch(() => null);
  if (session.get()?.user.id === user.id) noteRecord(data);
}
