//! What a document of each record type says.

use async_graphql::SimpleObject;

use super::{
    Mirror,
    elements::{Concept, Measurement, Party, Period, Quantity, QuantityRange},
    mirrors,
};

mirrors! {
    /// What a `DIAGNOSIS` says.
    DiagnosisSummary of DiagnosisSummary {
        /// Each `Condition`.
        diagnoses: Vec<DiagnosedCondition>,
    }

    /// A `Condition`.
    DiagnosedCondition of Diagnosis {
        /// `code`: in ICD-10 as a rule.
        code: Option<Concept>,
        /// `code.text`, or what its system calls it.
        description: Option<String>,
        /// `asserter`, else `recorder`.
        doctor: Option<Party>,
        /// `recordedDate`.
        recorded: Option<String>,
        /// `onset[x]`, in words.
        onset: Option<String>,
        /// `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
        /// `verificationStatus`: confirmed, provisional, …
        verification_status: Option<String>,
        /// `severity`, in words.
        severity: Option<String>,
    }

    /// What a `LAB_RESULT` says.
    LabResultSummary of LabResultSummary {
        /// What was ordered: the `code` of each report, or of each `Observation` where there is none.
        tests: Vec<Concept>,
        /// Each `Observation`.
        results: Vec<Measurement>,
        /// `performer` of reports and observations.
        facilities: Vec<Party>,
        /// `resultsInterpreter` of reports.
        interpreters: Vec<Party>,
        /// When it was issued, else what time it is about: of the first report that says.
        issued: Option<String>,
        /// `conclusion` of reports.
        conclusions: Vec<String>,
    }

    /// What a `PRESCRIPTION` says.
    PrescriptionSummary of PrescriptionSummary {
        /// Each `MedicationRequest`.
        medications: Vec<PrescribedMedication>,
    }

    /// A `MedicationRequest`.
    PrescribedMedication of PrescribedMedication {
        /// `medication[x]`, or the `code` of the contained `Medication` it refers to.
        medication: Option<Concept>,
        /// `status`: active, stopped, …
        status: Option<String>,
        /// `dosageInstruction`.
        dosages: Vec<Dosage>,
        /// `dispenseRequest.expectedSupplyDuration`: how long what is handed out lasts.
        supply: Option<Quantity>,
        /// `dispenseRequest.validityPeriod`: when it may be handed out.
        validity: Option<Period>,
        /// `requester`.
        prescriber: Option<Party>,
        /// `authoredOn`.
        authored: Option<String>,
    }

    /// One instruction.
    Dosage of Dosage {
        /// The instruction in words: `text`, else `patientInstruction`.
        instructions: Option<String>,
        /// `doseAndRate.doseQuantity`.
        dose: Option<Quantity>,
        /// `doseAndRate.doseRange`.
        dose_range: Option<QuantityRange>,
        /// `timing`, in words: `2 times per 1 d`.
        timing: Option<String>,
        /// `timing.repeat.bounds[x]`, in words: for how long, or from when to when.
        bounds: Option<String>,
        /// `route`, in words.
        route: Option<String>,
    }

    /// What a `TREATMENT_PLAN` says.
    TreatmentPlanSummary of TreatmentPlanSummary {
        /// `title`, of the first `CarePlan` that has one.
        title: Option<String>,
        /// `description`, likewise.
        description: Option<String>,
        /// `period`, likewise.
        period: Option<Period>,
        /// Each `Goal`, and goals that are only referred to.
        goals: Vec<TreatmentGoal>,
        /// Each `activity`, and each `ServiceRequest`.
        activities: Vec<TreatmentActivity>,
    }

    /// A `Goal`.
    TreatmentGoal of Goal {
        /// `description`.
        description: Option<Concept>,
        /// `lifecycleStatus`: proposed, active, …
        status: Option<String>,
        /// `achievementStatus`, in words.
        achievement: Option<String>,
        /// `target`: how to tell that it is reached.
        targets: Vec<TreatmentTarget>,
    }

    /// What is to be reached.
    TreatmentTarget of GoalTarget {
        /// `measure`: what is looked at.
        measure: Option<Concept>,
        /// `detail[x]`, in words.
        detail: Option<String>,
        /// `due[x]`, in words.
        due: Option<String>,
    }

    /// Something that is done.
    TreatmentActivity of Activity {
        /// `detail.code`, or a `ServiceRequest`'s `code`.
        code: Option<Concept>,
        /// `detail.description`, or what the activity refers to.
        description: Option<String>,
        /// `detail.status`, or a `ServiceRequest`'s `status`.
        status: Option<String>,
        /// `detail.scheduled[x]`, or a `ServiceRequest`'s `occurrence[x]`, in words.
        scheduled: Option<String>,
        /// `outcomeCodeableConcept` and `outcomeReference`, in words.
        outcomes: Vec<String>,
    }

    /// What a `MEDICAL_HISTORY` says.
    MedicalHistorySummary of MedicalHistorySummary {
        /// Each `Condition`.
        conditions: Vec<PastCondition>,
        /// Each `Procedure`.
        procedures: Vec<PastProcedure>,
        /// Each `FamilyMemberHistory`.
        family: Vec<RelativeHistory>,
        /// Each `AllergyIntolerance`.
        allergies: Vec<Allergy>,
        /// What a `List` or a `Composition` refers to outside of the document.
        referred: Vec<Party>,
        /// `title` of a `List`, of a `Composition` and of its sections, which may be all there is beside
        /// the narrative.
        titles: Vec<String>,
    }

    /// A `Condition`.
    PastCondition of PastCondition {
        /// `code`.
        code: Option<Concept>,
        /// `onset[x]`, in words.
        onset: Option<String>,
        /// `abatement[x]`, in words.
        abatement: Option<String>,
        /// `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
    }

    /// A `Procedure`.
    PastProcedure of PastProcedure {
        /// `code`.
        code: Option<Concept>,
        /// `performed[x]`, in words.
        performed: Option<String>,
        /// `outcome`, in words.
        outcome: Option<String>,
        /// `status`: completed, …
        status: Option<String>,
    }

    /// A `FamilyMemberHistory`.
    RelativeHistory of Relative {
        /// `relationship`.
        relationship: Option<Concept>,
        /// What they have or had.
        conditions: Vec<FamilyCondition>,
        /// `deceased[x]`, in words.
        deceased: Option<String>,
    }

    /// What a relative has or had.
    FamilyCondition of FamilyCondition {
        /// `code`.
        code: Option<Concept>,
        /// `onset[x]`, in words.
        onset: Option<String>,
    }

    /// An `AllergyIntolerance`.
    Allergy of Allergy {
        /// `code`: the substance, or that none is known.
        code: Option<Concept>,
        /// `reaction.manifestation`.
        manifestations: Vec<Concept>,
        /// `criticality`: low, high, unable-to-assess.
        criticality: Option<String>,
        /// `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
    }

    /// What `VITAL_SIGNS` say.
    VitalSignsSummary of VitalSignsSummary {
        /// Each `Observation`. A blood pressure has systolic and diastolic among its components.
        measurements: Vec<Measurement>,
    }

    /// What `IMAGING` says.
    ImagingSummary of ImagingSummary {
        /// `modality` of studies, series and media.
        modalities: Vec<Concept>,
        /// `code` of reports: which examination.
        examinations: Vec<Concept>,
        /// `bodySite` of series and media.
        body_sites: Vec<Concept>,
        /// `conclusion` of reports, then `conclusionCode` in words.
        findings: Vec<String>,
        /// `note` of studies and media.
        notes: Vec<String>,
        /// `resultsInterpreter` of reports.
        radiologists: Vec<Party>,
        /// `started` of a study, `effective[x]` of a report, `created[x]` of a media: the first that says.
        performed: Option<String>,
    }

    /// What a `VACCINATION` says.
    VaccinationSummary of VaccinationSummary {
        /// Each `Immunization`.
        vaccinations: Vec<GivenVaccine>,
        /// Each date of each recommendation.
        next_doses: Vec<NextDose>,
    }

    /// An `Immunization`.
    GivenVaccine of Vaccination {
        /// `vaccineCode`.
        vaccine: Option<Concept>,
        /// `occurrence[x]`, in words.
        administered: Option<String>,
        /// `lotNumber`.
        lot_number: Option<String>,
        /// `status`: completed, not-done, …
        status: Option<String>,
        /// `protocolApplied.doseNumber[x]`.
        dose_number: Option<String>,
        /// `protocolApplied.seriesDoses[x]`: of how many.
        series_doses: Option<String>,
        /// `manufacturer`.
        manufacturer: Option<Party>,
    }

    /// A `dateCriterion` of an `ImmunizationRecommendation`.
    NextDose of NextDose {
        /// `vaccineCode`, the first.
        vaccine: Option<Concept>,
        /// `dateCriterion.code`: what the date means: due, earliest, overdue, …
        meaning: Option<Concept>,
        /// `dateCriterion.value`.
        date: Option<String>,
        /// `doseNumber[x]`.
        dose_number: Option<String>,
    }
}
