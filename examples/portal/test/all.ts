// What the tests look at, in one module.
export * from '../src/fhir/attachments';
export * from '../src/fhir/digits';
export * from '../src/fhir/document';
export * from '../src/fhir/laboratory';
export * from '../src/fhir/prescription';
export * from '../src/fhir/vitals';
export * from '../src/records/trend-values';
export { fhirDate } from '../src/words';
export * from '../src/api/access';
export * from '../src/api/alone';
export * from '../src/api/import-lines';
export * from '../src/api/import-request';
