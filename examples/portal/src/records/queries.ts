// What is asked about records. The summary is asked for whole: what is shown leaves nothing of it out.
import type { RequestPolicy } from '@urql/core';
import { useQuery } from 'urql';
import { useOnBehalfOf } from '../api/acting';
import { graphql } from '../gql';
import type { CommonRecordQuery, OrderedRecordQuery, PastRecordQuery, PurposeOfUse, RecordType } from '../gql/graphql';

graphql(`
  fragment ConceptParts on Concept { text codings { system code display } }
`);
graphql(`
  fragment CodingParts on Coding { system code display }
`);
graphql(`
  fragment QuantityParts on Quantity { value comparator unit code }
`);
graphql(`
  fragment MeasurementBase on Measurement {
    name value comparator unit unitCode text valueCodings { ...CodingParts } absentReason absentReasonCodings { ...CodingParts } status effective
    code { ...ConceptParts }
    interpretations { ...ConceptParts }
    referenceRanges {
      low { ...QuantityParts } high { ...QuantityParts } text meaning { text } appliesTo { text } age { low { value } high { value } }
    }
    focus { name reference identifier } performers { name reference identifier }
    bodySite { ...ConceptParts } method { ...ConceptParts }
  }
`);
graphql(`
  fragment MeasurementParts on Measurement {
    ...MeasurementBase
    categories { ...ConceptParts }
    members { name reference identifier } specimen { name reference identifier } notes
    components { ...MeasurementBase }
  }
`);
graphql(`
  fragment ReportParts on DiagnosticReportSummary {
    status conclusion effective issued
    code { ...ConceptParts } conclusionCodes { ...ConceptParts } categories { ...ConceptParts }
    results { name reference identifier } performers { name reference identifier } interpreters { name reference identifier }
  }
`);
graphql(`
  fragment ReferredParts on DocumentReferenceSummary {
    type { ...ConceptParts } status docStatus description categories { ...ConceptParts } date authors { name reference identifier }
    authenticator { name reference identifier } custodian { name reference identifier } relations { code target { name reference identifier } }
    securityLabels { ...ConceptParts } events { ...ConceptParts } period { start end } facilityType { ...ConceptParts }
    practiceSetting { ...ConceptParts } contents { title contentType language creation url format { ...ConceptParts } }
  }
`);
graphql(`
  fragment DosageParts on Dosage {
    sequence instructions patientInstruction dose { ...QuantityParts } doseRange { low { ...QuantityParts } high { ...QuantityParts } }
    timing bounds route routeCodings { ...CodingParts } site { ...ConceptParts } method { ...ConceptParts }
    additionalInstructions { ...ConceptParts } rate otherDoses asNeeded asNeededCodings { ...CodingParts } maxDose
    maxDosePerAdministration { ...QuantityParts } maxDosePerLifetime { ...QuantityParts }
  }
`);
graphql(`
  fragment StatementParts on MedicationStatementSummary {
    medication { ...ConceptParts } status statusReasons { ...ConceptParts } category { ...ConceptParts } effective asserted
    informationSource { name reference identifier } reasons { ...ConceptParts } dosages { ...DosageParts } notes
  }
`);
graphql(`
  fragment AdministrationParts on MedicationAdministrationSummary {
    medication { ...ConceptParts } status statusReasons { ...ConceptParts } category { ...ConceptParts } effective
    performers { name reference identifier } request { name reference identifier } reasons { ...ConceptParts } dosage { ...DosageParts } notes
  }
`);

// The api answers at most 1,000 fields of a query, with those by which the client tells types apart: hence three parts of the summaries,
// by the type of the record. The first one has what most records are: it is asked for where the type is not known.
graphql(`
  fragment CommonSummary on RecordSummary {
    __typename title date datePeriod { start end } unsupportedModifiers
    ... on LabResultSummary {
      tests { ...ConceptParts } reports { ...ReportParts } results { ...MeasurementParts }
      facilities { name reference identifier } interpreters { name reference identifier } issued conclusions
      documentReferences { ...ReferredParts }
    }
    ... on VitalSignsSummary { measurements { ...MeasurementParts } }
    ... on TreatmentPlanSummary {
      plans { title status intent description categories { ...ConceptParts } period { start end } }
      description period { start end }
      goals {
        description { ...ConceptParts } status statusReason achievement achievementCodings { ...CodingParts } start categories { ...ConceptParts }
        targets { measure { ...ConceptParts } detail due }
      }
      activities {
        code { ...ConceptParts } description status doNotPerform statusReason { ...ConceptParts } intent asNeeded
        priority requester { name reference identifier } reasons { ...ConceptParts }
        scheduled outcomes bodySites { ...ConceptParts } categories { ...ConceptParts }
      }
      careTeams {
        name status categories { ...ConceptParts } period { start end } reasons { ...ConceptParts } organizations { name reference identifier }
        members { roles { ...ConceptParts } member { name reference identifier } onBehalfOf { name reference identifier } period { start end } }
      }
    }
    ... on VaccinationSummary {
      vaccinations {
        vaccine { ...ConceptParts } status statusReason { ...ConceptParts } isSubpotent administered lotNumber
        doseNumber seriesDoses dose { ...QuantityParts } site { ...ConceptParts } route { ...ConceptParts }
        protocols { series targetDiseases { ...ConceptParts } doseNumber seriesDoses }
        manufacturer { name reference identifier } notes
      }
      nextDoses {
        vaccine { ...ConceptParts } vaccines { ...ConceptParts } targetDisease { ...ConceptParts } forecastStatus { ...ConceptParts }
        contraindicated { ...ConceptParts } reasons { ...ConceptParts } meaning { ...ConceptParts } date doseNumber description
      }
    }
  }
`);
graphql(`
  fragment OrderedSummary on RecordSummary {
    __typename title date datePeriod { start end } unsupportedModifiers
    ... on ImagingSummary {
      modalities { ...ConceptParts } examinations { ...ConceptParts } bodySites { ...ConceptParts }
      series { modality { ...ConceptParts } bodySite { ...ConceptParts } laterality { ...ConceptParts } description started }
      procedures { ...ConceptParts } observations { ...MeasurementParts } states { resource status }
      reports { ...ReportParts } findings notes radiologists { name reference identifier } performed
      documentReferences { ...ReferredParts }
    }
    ... on PrescriptionSummary {
      medications {
        medication { ...ConceptParts } status doNotPerform statusReason { ...ConceptParts } intent priority
        categories { ...ConceptParts } reasons { ...ConceptParts }
        dosages { ...DosageParts }
        supply { ...QuantityParts } validity { start end } prescriber { name reference identifier } authored
        substitution notes
      }
      medicationStatements { ...StatementParts } medicationAdministrations { ...AdministrationParts }
    }
  }
`);
graphql(`
  fragment PastSummary on RecordSummary {
    __typename title date datePeriod { start end } unsupportedModifiers
    ... on DiagnosisSummary {
      diagnoses {
        description clinicalStatus verificationStatus severity severityCodings { ...CodingParts } recorded onset abatement
        code { ...ConceptParts } doctor { name reference identifier } categories { ...ConceptParts } bodySites { ...ConceptParts }
        stages { ...ConceptParts } notes
      }
    }
    ... on MedicalHistorySummary {
      conditions {
        code { ...ConceptParts } clinicalStatus verificationStatus severity { ...ConceptParts } onset abatement recorded
        categories { ...ConceptParts } bodySites { ...ConceptParts } stages { ...ConceptParts } notes
      }
      procedures {
        code { ...ConceptParts } status statusReason { ...ConceptParts } performed outcome outcomeCodings { ...CodingParts }
        category { ...ConceptParts } bodySites { ...ConceptParts } notes
      }
      family {
        relationship { ...ConceptParts } status absentReason { ...ConceptParts } deceased
        conditions { code { ...ConceptParts } onset outcome { ...ConceptParts } }
      }
      allergies {
        code { ...ConceptParts } clinicalStatus verificationStatus criticality type categories onset recorded severities
        manifestations { ...ConceptParts } substances { ...ConceptParts } notes
      }
      medicationStatements { ...StatementParts } medicationAdministrations { ...AdministrationParts }
      observations { ...MeasurementParts } reports { ...ReportParts } documentReferences { ...ReferredParts }
      referred { name reference identifier } titles emptyLists { title reason { ...ConceptParts } }
    }
  }
`);

export const RECORDS = graphql(`
  query Records($patientId: UUID, $types: [RecordType!], $purpose: PurposeOfUse, $after: Cursor, $onBehalfOf: UUID) {
    medicalRecords(
      patientId: $patientId, filter: { recordTypes: $types }, orderBy: EFFECTIVE_DESC, purpose: $purpose, first: 20, after: $after, onBehalfOf: $onBehalfOf
    ) {
      nodes {
        id recordType version isWithdrawn completeness effectiveAt createdAt
        author { id username role }
        anchor { state }
        summary { __typename title date datePeriod { start end } unsupportedModifiers }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

graphql(`
  fragment RecordParts on MedicalRecord {
    id recordType version isCurrent isWithdrawn reason completeness missing effectiveAt createdAt dataHash canonical
    patient { id username } author { id username role }
    successor { id }
    anchor { state txHash blockNumber registrar confirmedAt finalizedAt closing { state status reason } }
  }
`);

const COMMON_RECORD = graphql(`
  query CommonRecord($id: UUID!, $purpose: PurposeOfUse, $onBehalfOf: UUID) {
    medicalRecord(id: $id, purpose: $purpose, onBehalfOf: $onBehalfOf) { ...RecordParts summary { ...CommonSummary } }
  }
`);

const ORDERED_RECORD = graphql(`
  query OrderedRecord($id: UUID!, $purpose: PurposeOfUse, $onBehalfOf: UUID) {
    medicalRecord(id: $id, purpose: $purpose, onBehalfOf: $onBehalfOf) { ...RecordParts summary { ...OrderedSummary } }
  }
`);

const PAST_RECORD = graphql(`
  query PastRecord($id: UUID!, $purpose: PurposeOfUse, $onBehalfOf: UUID) {
    medicalRecord(id: $id, purpose: $purpose, onBehalfOf: $onBehalfOf) { ...RecordParts summary { ...PastSummary } }
  }
`);

type Part = 'common' | 'ordered' | 'past';

/** By which of them the summary of a record is asked for. */
const PARTS: Record<RecordType, Part> = {
  DIAGNOSIS: 'past',
  IMAGING: 'ordered',
  LAB_RESULT: 'common',
  MEDICAL_HISTORY: 'past',
  PRESCRIPTION: 'ordered',
  TREATMENT_PLAN: 'common',
  VACCINATION: 'common',
  VITAL_SIGNS: 'common',
};
const known = new Map<string, RecordType>();

/** Remembers the types of records: one whose type is known is opened by one operation, which is one row in the patient's log. */
export function remember(records: readonly { id: string; recordType: RecordType }[]): void {
  records.forEach(({ id, recordType }) => known.set(id, recordType));
}

function partOf(id: string): Part {
  const type = known.get(id);
  return type ? PARTS[type] : 'common';
}

export type FoundRecord = NonNullable<CommonRecordQuery['medicalRecord'] | OrderedRecordQuery['medicalRecord'] | PastRecordQuery['medicalRecord']>;

/** A record with all of its summary. */
export function useRecord(id: string, purpose: PurposeOfUse | undefined, requestPolicy: RequestPolicy = 'cache-and-network') {
  const variables = { id, purpose: purpose ?? null, ...useOnBehalfOf() };
  const [common, againCommon] = useQuery({ query: COMMON_RECORD, variables, requestPolicy, pause: partOf(id) !== 'common' });
  const first = common.data?.medicalRecord;
  // Its type was not known: of another one than those, the summary is not there yet.
  if (first?.id === id) remember([first]);
  const part = partOf(id);
  const [ordered, againOrdered] = useQuery({ query: ORDERED_RECORD, variables, requestPolicy, pause: part !== 'ordered' });
  const [past, againPast] = useQuery({ query: PAST_RECORD, variables, requestPolicy, pause: part !== 'past' });
  const result = part === 'ordered' ? ordered : part === 'past' ? past : common;
  const data: FoundRecord | undefined = result.data?.medicalRecord ?? undefined;
  if (data?.successor) remember([{ id: data.successor.id, recordType: data.recordType }]);
  const again = part === 'ordered' ? againOrdered : part === 'past' ? againPast : againCommon;
  return { data, error: result.error, fetching: result.fetching, isSettled: !result.fetching && !result.stale, again };
}

export const HISTORY = graphql(`
  query History($id: UUID!, $purpose: PurposeOfUse, $onBehalfOf: UUID) {
    medicalRecord(id: $id, purpose: $purpose, onBehalfOf: $onBehalfOf) {
      id
      history(first: 50) { nodes { id recordType version isCurrent isWithdrawn reason createdAt author { id username } } }
    }
  }
`);

export const RECORD_ACCESS = graphql(`
  query RecordAccess($id: UUID!, $language: Language) {
    medicalRecord(id: $id) { id accessLog(first: 20) { nodes { id at sentence(language: $language) allowed } } }
  }
`);

export const VERIFY = graphql(`
  query VerifyRecord($id: UUID!, $purpose: PurposeOfUse, $onBehalfOf: UUID) {
    verifyRecord(id: $id, purpose: $purpose, onBehalfOf: $onBehalfOf) {
      verdict contentMatches onChain dataHash computedHash chainBlock chainTime chainRegistrar chainStatus checkedAt
    }
  }
`);

export const VITAL_TRENDS = graphql(`
  query VitalTrends($patientId: UUID, $purpose: PurposeOfUse, $after: Cursor, $onBehalfOf: UUID) {
    medicalRecords(
      patientId: $patientId, filter: { recordTypes: [VITAL_SIGNS] }, orderBy: EFFECTIVE_DESC, purpose: $purpose, first: 20, after: $after, onBehalfOf: $onBehalfOf
    ) {
      nodes { id isWithdrawn summary { __typename unsupportedModifiers ... on VitalSignsSummary { measurements { ...TrendParts } } } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const LAB_TRENDS = graphql(`
  query LabTrends($patientId: UUID, $purpose: PurposeOfUse, $after: Cursor, $onBehalfOf: UUID) {
    medicalRecords(
      patientId: $patientId, filter: { recordTypes: [LAB_RESULT] }, orderBy: EFFECTIVE_DESC, purpose: $purpose, first: 20, after: $after, onBehalfOf: $onBehalfOf
    ) {
      nodes { id isWithdrawn summary { __typename unsupportedModifiers ... on LabResultSummary { results { ...TrendParts } } } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
graphql(`
  fragment TrendBase on Measurement {
    name value comparator unit unitCode text code { text codings { system code display } }
    interpretations { text codings { code display } }
    referenceRanges { low { value comparator unit code } high { value comparator unit code } text meaning { codings { code } } }
  }
`);
graphql(`
  fragment TrendParts on Measurement { ...TrendBase status effective focus { name reference identifier } components { ...TrendBase } }
`);

export const CREATE_RECORD = graphql(`
  mutation CreateRecord($input: CreateMedicalRecordInput!, $onBehalfOf: UUID) {
    createMedicalRecord(input: $input, onBehalfOf: $onBehalfOf) { record { id recordType } userErrors { code field message issues { path message severity } } }
  }
`);

export const AMEND_RECORD = graphql(`
  mutation AmendRecord($input: AmendMedicalRecordInput!) {
    amendMedicalRecord(input: $input) { record { id recordType } userErrors { code field message issues { path message severity } } }
  }
`);

export const WITHDRAW_RECORD = graphql(`
  mutation WithdrawRecord($input: WithdrawMedicalRecordInput!) {
    withdrawMedicalRecord(input: $input) { record { id recordType } userErrors { code field message issues { path message severity } } }
  }
`);

export const ERASE_RECORD = graphql(`
  mutation EraseRecord($input: RequestDataDeletionInput!) { requestDataDeletion(input: $input) { request { id status } userErrors { code field message } } }
`);
