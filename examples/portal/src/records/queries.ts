// What is asked about records. The summary is asked for whole: what is shown leaves nothing of it out.
import { graphql } from '../gql';

graphql(`
  fragment ConceptParts on Concept { text codings { system code display } }
`);
graphql(`
  fragment QuantityParts on Quantity { value comparator unit code }
`);
graphql(`
  fragment MeasurementBase on Measurement {
    name value comparator unit unitCode text absentReason status effective
    code { ...ConceptParts }
    interpretations { ...ConceptParts }
    referenceRanges { low { ...QuantityParts } high { ...QuantityParts } text }
    focus { name reference } performers { name reference }
    bodySite { ...ConceptParts } method { ...ConceptParts }
  }
`);
graphql(`
  fragment MeasurementParts on Measurement {
    ...MeasurementBase
    categories { ...ConceptParts }
    members { name reference }
    components { ...MeasurementBase }
  }
`);
graphql(`
  fragment ReportParts on DiagnosticReportSummary {
    status conclusion effective issued
    code { ...ConceptParts } conclusionCodes { ...ConceptParts } categories { ...ConceptParts }
    results { name reference } performers { name reference } interpreters { name reference }
  }
`);
graphql(`
  fragment SummaryParts on RecordSummary {
    __typename title date unsupportedModifiers
    ... on DiagnosisSummary {
      diagnoses {
        description clinicalStatus verificationStatus severity recorded onset abatement
        code { ...ConceptParts } doctor { name reference } categories { ...ConceptParts } bodySites { ...ConceptParts }
      }
    }
    ... on LabResultSummary {
      tests { ...ConceptParts } reports { ...ReportParts } results { ...MeasurementParts }
      facilities { name reference } interpreters { name reference } issued conclusions
    }
    ... on PrescriptionSummary {
      medications {
        medication { ...ConceptParts } status doNotPerform statusReason { ...ConceptParts } intent priority
        categories { ...ConceptParts } reasons { ...ConceptParts }
        dosages {
          instructions dose { ...QuantityParts } doseRange { low { ...QuantityParts } high { ...QuantityParts } }
          timing bounds route site { ...ConceptParts } method { ...ConceptParts }
          additionalInstructions { ...ConceptParts } rate asNeeded maxDose
          maxDosePerAdministration { ...QuantityParts } maxDosePerLifetime { ...QuantityParts }
        }
        supply { ...QuantityParts } validity { start end } prescriber { name reference } authored
      }
    }
    ... on TreatmentPlanSummary {
      plans { title status intent description categories { ...ConceptParts } period { start end } }
      description period { start end }
      goals {
        description { ...ConceptParts } status statusReason achievement start categories { ...ConceptParts }
        targets { measure { ...ConceptParts } detail due }
      }
      activities {
        code { ...ConceptParts } description status doNotPerform statusReason { ...ConceptParts } intent asNeeded
        scheduled outcomes bodySites { ...ConceptParts } categories { ...ConceptParts }
      }
    }
    ... on MedicalHistorySummary {
      conditions {
        code { ...ConceptParts } clinicalStatus verificationStatus severity { ...ConceptParts } onset abatement recorded
        categories { ...ConceptParts } bodySites { ...ConceptParts }
      }
      procedures {
        code { ...ConceptParts } status statusReason { ...ConceptParts } performed outcome
        category { ...ConceptParts } bodySites { ...ConceptParts }
      }
      family {
        relationship { ...ConceptParts } status absentReason { ...ConceptParts } deceased
        conditions { code { ...ConceptParts } onset outcome { ...ConceptParts } }
      }
      allergies {
        code { ...ConceptParts } clinicalStatus verificationStatus criticality type categories onset recorded severities
        manifestations { ...ConceptParts }
      }
      observations { ...MeasurementParts }
      referred { name reference } titles
    }
    ... on VitalSignsSummary { measurements { ...MeasurementParts } }
    ... on ImagingSummary {
      modalities { ...ConceptParts } examinations { ...ConceptParts } bodySites { ...ConceptParts }
      series { modality { ...ConceptParts } bodySite { ...ConceptParts } laterality { ...ConceptParts } description started }
      procedures { ...ConceptParts } observations { ...MeasurementParts } states { resource status }
      reports { ...ReportParts } findings notes radiologists { name reference } performed
    }
    ... on VaccinationSummary {
      vaccinations {
        vaccine { ...ConceptParts } status statusReason { ...ConceptParts } isSubpotent administered lotNumber
        doseNumber seriesDoses dose { ...QuantityParts } site { ...ConceptParts } route { ...ConceptParts }
        manufacturer { name reference }
      }
      nextDoses {
        vaccine { ...ConceptParts } targetDisease { ...ConceptParts } forecastStatus { ...ConceptParts }
        contraindicated { ...ConceptParts } reasons { ...ConceptParts } meaning { ...ConceptParts } date doseNumber
      }
    }
  }
`);

export const RECORDS = graphql(`
  query Records($patientId: UUID, $types: [RecordType!], $purpose: PurposeOfUse, $after: Cursor) {
    medicalRecords(
      patientId: $patientId, filter: { recordTypes: $types }, orderBy: EFFECTIVE_DESC, purpose: $purpose, first: 20, after: $after
    ) {
      nodes {
        id recordType version isWithdrawn completeness effectiveAt createdAt
        author { id username role }
        anchor { state }
        summary { __typename title date unsupportedModifiers }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const RECORD = graphql(`
  query Record($id: UUID!, $purpose: PurposeOfUse) {
    medicalRecord(id: $id, purpose: $purpose) {
      id recordType version isCurrent isWithdrawn reason completeness missing effectiveAt createdAt dataHash canonical
      patient { id username } author { id username role }
      successor { id }
      anchor { state txHash blockNumber registrar confirmedAt finalizedAt closing { state status reason } }
      summary { ...SummaryParts }
    }
  }
`);

export const HISTORY = graphql(`
  query History($id: UUID!, $purpose: PurposeOfUse) {
    medicalRecord(id: $id, purpose: $purpose) {
      id
      history(first: 50) { nodes { id version isCurrent isWithdrawn reason createdAt author { id username } } }
    }
  }
`);

export const RECORD_ACCESS = graphql(`
  query RecordAccess($id: UUID!) {
    medicalRecord(id: $id) { id accessLog(first: 20) { nodes { id at sentence allowed } } }
  }
`);

export const VERIFY = graphql(`
  query VerifyRecord($id: UUID!, $purpose: PurposeOfUse) {
    verifyRecord(id: $id, purpose: $purpose) {
      verdict contentMatches onChain dataHash computedHash chainBlock chainTime chainRegistrar chainStatus checkedAt
    }
  }
`);

export const TRENDS = graphql(`
  query Trends($patientId: UUID, $purpose: PurposeOfUse, $after: Cursor) {
    medicalRecords(
      patientId: $patientId, filter: { recordTypes: [VITAL_SIGNS, LAB_RESULT] }, orderBy: EFFECTIVE_DESC, purpose: $purpose, first: 50, after: $after
    ) {
      nodes {
        id isWithdrawn effectiveAt
        summary {
          __typename unsupportedModifiers
          ... on VitalSignsSummary { measurements { ...TrendParts } }
          ... on LabResultSummary { results { ...TrendParts } }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
`);
graphql(`
  fragment TrendBase on Measurement {
    name value comparator unit unitCode text status effective
    code { ...ConceptParts } interpretations { ...ConceptParts } focus { name reference }
    referenceRanges { low { ...QuantityParts } high { ...QuantityParts } text }
  }
`);
graphql(`
  fragment TrendParts on Measurement { ...TrendBase components { ...TrendBase } }
`);

export const CREATE_RECORD = graphql(`
  mutation CreateRecord($input: CreateMedicalRecordInput!) {
    createMedicalRecord(input: $input) { record { id } }
  }
`);

export const AMEND_RECORD = graphql(`
  mutation AmendRecord($input: AmendMedicalRecordInput!) {
    amendMedicalRecord(input: $input) { record { id } }
  }
`);

export const WITHDRAW_RECORD = graphql(`
  mutation WithdrawRecord($input: WithdrawMedicalRecordInput!) {
    withdrawMedicalRecord(input: $input) { record { id } }
  }
`);
