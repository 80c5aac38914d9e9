//! What a document of each record type says.

use async_graphql::{Interface, SimpleObject};

use super::{
    Mirror,
    elements::{Coding, Concept, Measurement, Party, Period, Quantity, QuantityRange},
    mirrors,
};

mirrors! {
    /// The main statements of a document of the type DIAGNOSIS.
    DiagnosisSummary of DiagnosisSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The diagnoses: one for each `Condition` of the document.
        diagnoses: Vec<DiagnosedCondition>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One diagnosis, read from a `Condition`.
    DiagnosedCondition of Diagnosis {
        /// The `code` of the diagnosis, usually of ICD-10.
        code: Option<Concept>,
        /// The diagnosis in words: `code.text`, else the display of its first coding.
        description: Option<String>,
        /// Who states the diagnosis: `asserter`, else `recorder`.
        doctor: Option<Party>,
        /// When the diagnosis was recorded: `recordedDate`, a FHIR date.
        recorded: Option<String>,
        /// When the condition began: `onset[x]` as text.
        onset: Option<String>,
        /// The code of `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
        /// The code of `verificationStatus`: confirmed, provisional, …
        verification_status: Option<String>,
        /// How severe the condition is: `severity` as text.
        severity: Option<String>,
        /// How severe the condition is, as codes: `severity.coding`.
        severity_codings: Vec<Coding>,
        /// The categories of the diagnosis, such as one of an encounter: `category`.
        categories: Vec<Concept>,
        /// The parts of the body that are affected: `bodySite`.
        body_sites: Vec<Concept>,
        /// When the condition ended: `abatement[x]` as text.
        abatement: Option<String>,
        /// How far the condition is, such as the stage of a tumour: each `stage.summary`.
        stages: Vec<Concept>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// The main statements of a document of the type `LAB_RESULT`.
    LabResultSummary of LabResultSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The tests that were ordered: the `code` of each report, or of each `Observation` where there
        /// is no report.
        tests: Vec<Concept>,
        /// The reports: each `DiagnosticReport`, with its status and what it concludes.
        reports: Vec<DiagnosticReportSummary>,
        /// The measured values: one for each `Observation` of the document.
        results: Vec<Measurement>,
        /// The laboratories: `performer` of reports and observations.
        facilities: Vec<Party>,
        /// Who interpreted the results: `resultsInterpreter` of the reports.
        interpreters: Vec<Party>,
        /// When the result was issued, else the time it is about: of the first report that states one.
        issued: Option<String>,
        /// The conclusions in words: `conclusion` of the reports that were neither cancelled nor entered in
        /// error; those of all stand in `reports`.
        conclusions: Vec<String>,
        /// Documents that are kept as files: one for each `DocumentReference`.
        document_references: Vec<DocumentReferenceSummary>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One report, read from a `DiagnosticReport`.
    DiagnosticReportSummary of Report {
        /// The `code` of the report: the examination it reports on.
        code: Option<Concept>,
        /// The `status` of the report: final, preliminary, cancelled, entered-in-error, …
        status: Option<String>,
        /// What the report concludes, in words: `conclusion`.
        conclusion: Option<String>,
        /// What the report concludes, as codes: `conclusionCode`.
        conclusion_codes: Vec<Concept>,
        /// The names of its results, in the document or elsewhere: `result`.
        results: Vec<Party>,
        /// The services that the report comes from: `category`.
        categories: Vec<Concept>,
        /// The time that the report is about: `effective[x]` as text.
        effective: Option<String>,
        /// When the report was issued: `issued`, a FHIR instant.
        issued: Option<String>,
        /// Who is responsible for the report: each `performer`.
        performers: Vec<Party>,
        /// Who interpreted the results: each `resultsInterpreter`.
        interpreters: Vec<Party>,
    }

    /// One document that is kept as a file, read from a `DocumentReference`.
    DocumentReferenceSummary of ReferredDocument {
        /// The kind of document, such as a discharge summary: `type`.
        r#type: Option<Concept>,
        /// The `status` of the reference: current, superseded or entered-in-error.
        status: Option<String>,
        /// The state of the document itself: `docStatus`, preliminary, final, amended or entered-in-error.
        doc_status: Option<String>,
        /// What the document is, in words: `description`.
        description: Option<String>,
        /// The categories of the document: `category`.
        categories: Vec<Concept>,
        /// When the reference was made: `date`, a FHIR instant.
        date: Option<String>,
        /// Who wrote the document: each `author`.
        authors: Vec<Party>,
        /// Who vouches for the document: `authenticator`.
        authenticator: Option<Party>,
        /// Which organisation keeps the document: `custodian`.
        custodian: Option<Party>,
        /// Which other documents it replaces, adds to, signs or transforms: each `relatesTo`.
        relations: Vec<DocumentRelation>,
        /// How confidential the document is: `securityLabel`.
        security_labels: Vec<Concept>,
        /// What was done, as far as the document is about it: `context.event`.
        events: Vec<Concept>,
        /// The time that the document is about: `context.period`.
        period: Option<Period>,
        /// The kind of facility in which the patient was seen: `context.facilityType`.
        facility_type: Option<Concept>,
        /// The field of medicine that the document comes from: `context.practiceSetting`.
        practice_setting: Option<Concept>,
        /// The files of the document, without their bytes: each `content`.
        contents: Vec<DocumentContent>,
    }

    /// One relation of a document to another, read from a `relatesTo`.
    DocumentRelation of DocumentRelation {
        /// The `code` of the relation: replaces, transforms, signs or appends.
        code: Option<String>,
        /// The other document: the `target` of the relation.
        target: Option<Party>,
    }

    /// One file of a document, without its bytes: those are read at the record's attachments.
    DocumentContent of DocumentContent {
        /// The `title` of the file, in words.
        title: Option<String>,
        /// The media type of the file: `contentType`.
        content_type: Option<String>,
        /// The `language` of the file: a BCP 47 code.
        language: Option<String>,
        /// When the file was made: `creation`, a FHIR date.
        creation: Option<String>,
        /// The address of a file that is elsewhere: `url`.
        url: Option<String>,
        /// The rules that the file keeps, beyond its media type: `format`.
        format: Option<Concept>,
    }

    /// The main statements of a document of the type PRESCRIPTION.
    PrescriptionSummary of PrescriptionSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The medicines: one for each `MedicationRequest` of the document.
        medications: Vec<PrescribedMedication>,
        /// What somebody says of medicines, taken or not: one for each `MedicationStatement`, which orders nothing.
        medication_statements: Vec<MedicationStatementSummary>,
        /// What is said of giving medicines, done or not: one for each `MedicationAdministration`, which orders nothing.
        medication_administrations: Vec<MedicationAdministrationSummary>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One prescribed medicine, read from a `MedicationRequest`.
    PrescribedMedication of PrescribedMedication {
        /// The medicine: `medication[x]`, or the `code` of the contained `Medication` it refers to.
        medication: Option<Concept>,
        /// The `status` of the prescription: active, stopped, …
        status: Option<String>,
        /// Whether the medicine must **not** be given: `doNotPerform`. Where it is true the prescription is
        /// a prohibition.
        do_not_perform: bool,
        /// Why the prescription is in that state: `statusReason`.
        status_reason: Option<Concept>,
        /// The `intent` of the prescription: order, plan, proposal, …
        intent: Option<String>,
        /// The categories of the prescription, such as inpatient: `category`.
        categories: Vec<Concept>,
        /// The `priority` of the prescription: routine, urgent, asap or stat.
        priority: Option<String>,
        /// What the medicine is prescribed for: each `reasonCode`, then each `reasonReference` in words.
        reasons: Vec<Concept>,
        /// How the medicine is to be taken: each `dosageInstruction`.
        dosages: Vec<Dosage>,
        /// How long the dispensed amount lasts: `dispenseRequest.expectedSupplyDuration`.
        supply: Option<Quantity>,
        /// When the medicine may be dispensed: `dispenseRequest.validityPeriod`.
        validity: Option<Period>,
        /// Who prescribed the medicine: `requester`.
        prescriber: Option<Party>,
        /// When the medicine was prescribed: `authoredOn`, a FHIR date.
        authored: Option<String>,
        /// Whether another medicine may be handed out: `substitution.allowed[x]` as text.
        substitution: Option<String>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// One medicine and whether somebody says that it is taken, read from a `MedicationStatement`.
    MedicationStatementSummary of MedicationTaken {
        /// The medicine: `medication[x]`, or the `code` of the contained `Medication` it refers to.
        medication: Option<Concept>,
        /// The `status` of the statement: active, completed, not-taken, entered-in-error, …
        status: Option<String>,
        /// Why the statement is in that state: each `statusReason`.
        status_reasons: Vec<Concept>,
        /// Where the medicine is taken, such as inpatient: `category`.
        category: Option<Concept>,
        /// When the medicine is or was taken: `effective[x]` as text.
        effective: Option<String>,
        /// When the statement was made: `dateAsserted`, a FHIR date.
        asserted: Option<String>,
        /// Who says that the medicine is taken: `informationSource`.
        information_source: Option<Party>,
        /// What the medicine is taken for: each `reasonCode`, then each `reasonReference` in words.
        reasons: Vec<Concept>,
        /// How the medicine is or was taken: each `dosage`.
        dosages: Vec<Dosage>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// One medicine and whether it was given, read from a `MedicationAdministration`.
    MedicationAdministrationSummary of MedicationGiven {
        /// The medicine: `medication[x]`, or the `code` of the contained `Medication` it refers to.
        medication: Option<Concept>,
        /// The `status` of the administration: completed, not-done, stopped, entered-in-error, …
        status: Option<String>,
        /// Why the administration is in that state, such as not done: each `statusReason`.
        status_reasons: Vec<Concept>,
        /// Where the medicine was given, such as inpatient: `category`.
        category: Option<Concept>,
        /// When the medicine was given: `effective[x]` as text.
        effective: Option<String>,
        /// Who gave the medicine: `performer.actor`.
        performers: Vec<Party>,
        /// The order that was followed: `request`.
        request: Option<Party>,
        /// What the medicine was given for: each `reasonCode`, then each `reasonReference` in words.
        reasons: Vec<Concept>,
        /// How much was given, and how: `dosage`.
        dosage: Option<Dosage>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// One instruction on how a medicine is to be taken.
    Dosage of Dosage {
        /// The instruction in words: `text`, else `patientInstruction`.
        instructions: Option<String>,
        /// The instruction for the patient in words: `patientInstruction`.
        patient_instruction: Option<String>,
        /// The place of the instruction in their order, or of some at the same time: `sequence`.
        sequence: Option<String>,
        /// The amount of one dose: `doseQuantity` of the ordered `doseAndRate`, else of the first.
        dose: Option<Quantity>,
        /// The range of amounts of one dose: `doseRange` of the same `doseAndRate`.
        dose_range: Option<QuantityRange>,
        /// When the medicine is to be taken: `timing` as text, such as `2 times per 1 d`.
        timing: Option<String>,
        /// How long, or from when to when, the medicine is to be taken: `timing.repeat.bounds[x]` as
        /// text.
        bounds: Option<String>,
        /// How the medicine enters the body: `route` as text.
        route: Option<String>,
        /// How the medicine enters the body, as codes: `route.coding`.
        route_codings: Vec<Coding>,
        /// Where the medicine enters the body: `site`.
        site: Option<Concept>,
        /// How the medicine is administered: `method`.
        method: Option<Concept>,
        /// What else is to be observed, such as with meals: `additionalInstruction`.
        additional_instructions: Vec<Concept>,
        /// How fast the medicine is given: `rate[x]` of the same `doseAndRate`, as text.
        rate: Option<String>,
        /// Each other `doseAndRate` as text, such as `calculated: 500 mg`.
        other_doses: Vec<String>,
        /// Whether, or for which complaint, the medicine is taken only as needed: `asNeeded[x]` as text.
        as_needed: Option<String>,
        /// The complaint for which the medicine is taken as needed, as codes.
        as_needed_codings: Vec<Coding>,
        /// The most that may be taken in a period: `maxDosePerPeriod` as text, such as `20 mg : 1 d`.
        max_dose: Option<String>,
        /// The most that may be taken at a time: `maxDosePerAdministration`.
        max_dose_per_administration: Option<Quantity>,
        /// The most that may be taken in a lifetime: `maxDosePerLifetime`.
        max_dose_per_lifetime: Option<Quantity>,
    }

    /// The main statements of a document of the type `TREATMENT_PLAN`.
    TreatmentPlanSummary of TreatmentPlanSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The plans: each `CarePlan`, with its status and intent.
        plans: Vec<TreatmentPlanState>,
        /// The `description` of the first `CarePlan` that has one.
        description: Option<String>,
        /// The `period` of the first `CarePlan` that has one.
        period: Option<Period>,
        /// The goals: each `Goal` of the document, and goals that are only referred to.
        goals: Vec<TreatmentGoal>,
        /// What is to be done: each `activity` of the plans, and each `ServiceRequest`.
        activities: Vec<TreatmentActivity>,
        /// Who looks after the patient: each `CareTeam`.
        care_teams: Vec<TreatmentTeam>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// The state of one plan, read from a `CarePlan`.
    TreatmentPlanState of PlanState {
        /// The `title` of the plan.
        title: Option<String>,
        /// The `status` of the plan: draft, active, revoked, entered-in-error, …
        status: Option<String>,
        /// The `intent` of the plan: proposal, plan, order or option.
        intent: Option<String>,
        /// The kinds of plan that it is: `category`.
        categories: Vec<Concept>,
        /// The `description` of the plan, in words.
        description: Option<String>,
        /// The `period` that the plan covers.
        period: Option<Period>,
    }

    /// One goal of a treatment, read from a `Goal`.
    TreatmentGoal of Goal {
        /// The goal itself: its `description`.
        description: Option<Concept>,
        /// The code of `lifecycleStatus`: proposed, active, …
        status: Option<String>,
        /// Why the goal is in that state: `statusReason`, in words.
        status_reason: Option<String>,
        /// How far the goal is achieved: `achievementStatus` as text.
        achievement: Option<String>,
        /// How far the goal is achieved, as codes: `achievementStatus.coding`.
        achievement_codings: Vec<Coding>,
        /// The kinds of goal that it is, such as dietary: `category`.
        categories: Vec<Concept>,
        /// When the goal is begun with: `start[x]` as text.
        start: Option<String>,
        /// What tells that the goal is reached: each `target`.
        targets: Vec<TreatmentTarget>,
    }

    /// One target of a goal: a measure, the value to reach and by when.
    TreatmentTarget of GoalTarget {
        /// What is measured to tell whether the target is reached: `measure`.
        measure: Option<Concept>,
        /// The value that is to be reached: `detail[x]` as text.
        detail: Option<String>,
        /// When the target is to be reached: `due[x]` as text.
        due: Option<String>,
    }

    /// One activity of a treatment plan.
    TreatmentActivity of Activity {
        /// The kind of activity: `detail.code`, or the `code` of a `ServiceRequest`.
        code: Option<Concept>,
        /// The activity in words: `detail.description`, or what the activity refers to.
        description: Option<String>,
        /// The status of the activity: `detail.status`, or the `status` of a `ServiceRequest`.
        status: Option<String>,
        /// Whether the activity must **not** be done: `detail.doNotPerform`, or that of a `ServiceRequest`.
        do_not_perform: bool,
        /// Why the activity is in that state: `detail.statusReason`.
        status_reason: Option<Concept>,
        /// The `intent` of a `ServiceRequest`: order, plan, proposal, …
        intent: Option<String>,
        /// The `priority` of a `ServiceRequest`: routine, urgent, asap or stat.
        priority: Option<String>,
        /// Who asked for the activity: `requester` of a `ServiceRequest`.
        requester: Option<Party>,
        /// What the activity is done for: each `reasonCode`, then each `reasonReference` in words.
        reasons: Vec<Concept>,
        /// Whether, or for which complaint, it is done only as needed: `asNeeded[x]` of a
        /// `ServiceRequest` as text.
        as_needed: Option<String>,
        /// The parts of the body that are meant: `bodySite` of a `ServiceRequest`.
        body_sites: Vec<Concept>,
        /// The kinds of service that are requested: `category` of a `ServiceRequest`.
        categories: Vec<Concept>,
        /// When the activity is to take place: `detail.scheduled[x]`, or `occurrence[x]` of a
        /// `ServiceRequest`, as text.
        scheduled: Option<String>,
        /// What the activity resulted in: `outcomeCodeableConcept` and `outcomeReference` as text.
        outcomes: Vec<String>,
    }

    /// One team that looks after the patient, read from a `CareTeam`.
    TreatmentTeam of CareTeam {
        /// The `name` of the team.
        name: Option<String>,
        /// The `status` of the team: proposed, active, suspended, inactive or entered-in-error.
        status: Option<String>,
        /// The kinds of team that it is: `category`.
        categories: Vec<Concept>,
        /// The `period` in which the team is one.
        period: Option<Period>,
        /// What there is a team for: each `reasonCode`, then each `reasonReference` in words.
        reasons: Vec<Concept>,
        /// Who belongs to the team: each `participant`, the patient too where the document names them.
        members: Vec<TreatmentTeamMember>,
        /// The organisations that are responsible for the team: each `managingOrganization`.
        organizations: Vec<Party>,
    }

    /// One member of a team, read from a `participant` of a `CareTeam`.
    TreatmentTeamMember of CareTeamMember {
        /// What the member does in the team: each `role`.
        roles: Vec<Concept>,
        /// Who it is: `member`.
        member: Option<Party>,
        /// The organisation for which the member acts: `onBehalfOf`.
        on_behalf_of: Option<Party>,
        /// The `period` in which the member belongs to the team.
        period: Option<Period>,
    }

    /// The main statements of a document of the type `MEDICAL_HISTORY`.
    MedicalHistorySummary of MedicalHistorySummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// Earlier and present conditions: one for each `Condition`.
        conditions: Vec<PastCondition>,
        /// Earlier procedures: one for each `Procedure`.
        procedures: Vec<PastProcedure>,
        /// The family history: one for each `FamilyMemberHistory`.
        family: Vec<RelativeHistory>,
        /// Allergies and intolerances: one for each `AllergyIntolerance`.
        allergies: Vec<Allergy>,
        /// What somebody says of medicines, taken or not: one for each `MedicationStatement`.
        medication_statements: Vec<MedicationStatementSummary>,
        /// What is said of giving medicines, done or not: one for each `MedicationAdministration`.
        medication_administrations: Vec<MedicationAdministrationSummary>,
        /// What was observed, such as of social history: one for each `Observation`.
        observations: Vec<Measurement>,
        /// Reports that are neither of a laboratory nor of imaging, such as the note of a visit: each
        /// `DiagnosticReport`, with its status and what it concludes.
        reports: Vec<DiagnosticReportSummary>,
        /// Documents that are kept as files: one for each `DocumentReference`.
        document_references: Vec<DocumentReferenceSummary>,
        /// What a `List` or a `Composition` refers to outside of the document.
        referred: Vec<Party>,
        /// The `title` of a `List`, of a `Composition` and of its sections, which may be all that the
        /// document states beside its narrative.
        titles: Vec<String>,
        /// The lists and sections without entries, and why there are none.
        empty_lists: Vec<EmptyList>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One list without entries, read from a `List` or a section of a `Composition`.
    EmptyList of EmptyList {
        /// What the list is of: its `title`, else its `code` as text.
        title: Option<String>,
        /// Why it has no entries, such as nilknown, notasked or withheld: `emptyReason`.
        reason: Concept,
    }

    /// One condition of the medical history, read from a `Condition`.
    PastCondition of PastCondition {
        /// The `code` of the condition.
        code: Option<Concept>,
        /// When the condition began: `onset[x]` as text.
        onset: Option<String>,
        /// When the condition ended: `abatement[x]` as text.
        abatement: Option<String>,
        /// The code of `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
        /// The code of `verificationStatus`: confirmed, provisional, refuted, entered-in-error, …
        verification_status: Option<String>,
        /// The categories of the condition, such as an item of a list of problems: `category`.
        categories: Vec<Concept>,
        /// How severe the condition is: its `severity`.
        severity: Option<Concept>,
        /// The parts of the body that are affected: `bodySite`.
        body_sites: Vec<Concept>,
        /// When the condition was recorded: `recordedDate`, a FHIR date.
        recorded: Option<String>,
        /// How far the condition is, such as the stage of a tumour: each `stage.summary`.
        stages: Vec<Concept>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// One procedure of the medical history, read from a `Procedure`.
    PastProcedure of PastProcedure {
        /// The `code` of the procedure.
        code: Option<Concept>,
        /// When the procedure was performed: `performed[x]` as text.
        performed: Option<String>,
        /// What the procedure resulted in: `outcome` as text.
        outcome: Option<String>,
        /// What the procedure resulted in, as codes: `outcome.coding`.
        outcome_codings: Vec<Coding>,
        /// The `status` of the procedure: completed, not-done, entered-in-error, …
        status: Option<String>,
        /// Why the procedure is in that state, such as not done: `statusReason`.
        status_reason: Option<Concept>,
        /// The `category` of the procedure, such as surgery.
        category: Option<Concept>,
        /// The parts of the body that were treated: `bodySite`.
        body_sites: Vec<Concept>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// The history of one relative, read from a `FamilyMemberHistory`.
    RelativeHistory of Relative {
        /// How the relative is related to the patient: `relationship`.
        relationship: Option<Concept>,
        /// The `status` of the history: completed, partial, health-unknown or entered-in-error.
        status: Option<String>,
        /// Why nothing is known of the relative: `dataAbsentReason`.
        absent_reason: Option<Concept>,
        /// The conditions that the relative has or had.
        conditions: Vec<FamilyCondition>,
        /// Whether, or when, the relative died: `deceased[x]` as text.
        deceased: Option<String>,
    }

    /// One condition that a relative has or had.
    FamilyCondition of FamilyCondition {
        /// The `code` of the condition.
        code: Option<Concept>,
        /// When the condition began: `onset[x]` as text.
        onset: Option<String>,
        /// What the condition resulted in: its `outcome`.
        outcome: Option<Concept>,
    }

    /// One allergy or intolerance, read from an `AllergyIntolerance`.
    Allergy of Allergy {
        /// The substance, or the statement that no allergy is known: `code`.
        code: Option<Concept>,
        /// Whether it is an allergy or an intolerance: `type`.
        r#type: Option<String>,
        /// The kinds of substance: `category`, such as food or medication.
        categories: Vec<String>,
        /// When the allergy was first noticed: `onset[x]` as text.
        onset: Option<String>,
        /// When the allergy was recorded: `recordedDate`, a FHIR date.
        recorded: Option<String>,
        /// How severe reactions were, each once: `reaction.severity`, mild, moderate or severe.
        severities: Vec<String>,
        /// The symptoms of reactions: each `reaction.manifestation`.
        manifestations: Vec<Concept>,
        /// The substances that the patient reacted to, each once: `reaction.substance`.
        substances: Vec<Concept>,
        /// The code of `criticality`: low, high or unable-to-assess.
        criticality: Option<String>,
        /// The code of `clinicalStatus`: active, resolved, …
        clinical_status: Option<String>,
        /// The code of `verificationStatus`: confirmed, unconfirmed, refuted or entered-in-error.
        verification_status: Option<String>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// The main statements of a document of the type `VITAL_SIGNS`.
    VitalSignsSummary of VitalSignsSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The measured values: one for each `Observation`. A blood pressure has its systolic and
        /// diastolic value among its components.
        measurements: Vec<Measurement>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// The main statements of a document of the type IMAGING.
    ImagingSummary of ImagingSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The imaging techniques: `modality` of studies, series and media.
        modalities: Vec<Concept>,
        /// The examinations: the `code` of the reports.
        examinations: Vec<Concept>,
        /// The parts of the body that were examined: `bodySite` of series and media, with the `laterality`
        /// of the series in the text: `Wrist (Unilateral left)`.
        body_sites: Vec<Concept>,
        /// The series of pictures: each `series` of the studies, with its side.
        series: Vec<ImagingSeries>,
        /// The procedures that were performed: `procedureCode` of the studies.
        procedures: Vec<Concept>,
        /// What was observed in the images: one for each `Observation`.
        observations: Vec<Measurement>,
        /// The state of each `ImagingStudy` and each `Media`.
        states: Vec<ImagingState>,
        /// The reports: each `DiagnosticReport`, with its status and what it concludes.
        reports: Vec<DiagnosticReportSummary>,
        /// The findings in words, of the reports that were neither cancelled nor entered in error:
        /// `conclusion`, then `conclusionCode` as text.
        findings: Vec<String>,
        /// The notes in words: `note` of studies and media.
        notes: Vec<String>,
        /// Who interpreted the images: `resultsInterpreter` of the reports and `interpreter` of the studies.
        radiologists: Vec<Party>,
        /// When the examination took place: `started` of a study, `effective[x]` of a report or
        /// `created[x]` of a media, the first that is stated.
        performed: Option<String>,
        /// Documents that are kept as files: one for each `DocumentReference`.
        document_references: Vec<DocumentReferenceSummary>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One series of pictures, read from a `series` of an `ImagingStudy`.
    ImagingSeries of ImagingSeries {
        /// The imaging technique of the series: its `modality`.
        modality: Option<Concept>,
        /// The part of the body that was examined: `bodySite`.
        body_site: Option<Concept>,
        /// The side of the body that was examined: `laterality`.
        laterality: Option<Concept>,
        /// The `description` of the series, in words.
        description: Option<String>,
        /// When the series was begun: `started`, a FHIR date.
        started: Option<String>,
    }

    /// The state of one examination, read from an `ImagingStudy` or a `Media`.
    ImagingState of ImagingState {
        /// The kind of the resource: `ImagingStudy` or `Media`.
        resource: String,
        /// The `status` of the resource: available, cancelled, not-done, entered-in-error, …
        status: Option<String>,
    }

    /// The main statements of a document of the type VACCINATION.
    VaccinationSummary of VaccinationSummary {
        /// What the document is about in one line, with each state that is not the usual one, such as
        /// `Peanut (refuted)`: what a list shows of it.
        title: Option<String>,
        /// The latest date that the document is about, as it gives it: a FHIR date.
        date: Option<String>,
        /// The period that `date` belongs to, as the document gives it; null where it is no part of one.
        date_period: Option<Period>,
        /// The vaccinations given: one for each `Immunization`.
        vaccinations: Vec<GivenVaccine>,
        /// The recommended next doses: one for each date of each recommendation.
        next_doses: Vec<NextDose>,
        /// The elements of the document that can turn the rest into its opposite and that this summary
        /// does not show in a field of its own, such as `Observation.modifierExtension(http://…)` or
        /// `List.mode=changes`. Where the list is not empty, read the document before you act.
        unsupported_modifiers: Vec<String>,
    }

    /// One vaccination, read from an `Immunization`.
    GivenVaccine of Vaccination {
        /// The vaccine that was given: `vaccineCode`.
        vaccine: Option<Concept>,
        /// When the vaccine was given: `occurrence[x]` as text.
        administered: Option<String>,
        /// The number of the lot that the vaccine came from: `lotNumber`.
        lot_number: Option<String>,
        /// The `status` of the vaccination: completed, not-done, …
        status: Option<String>,
        /// Why the vaccination is in that state, such as not done: `statusReason`.
        status_reason: Option<Concept>,
        /// Where on the body the vaccine was given: `site`.
        site: Option<Concept>,
        /// How the vaccine entered the body: `route`.
        route: Option<Concept>,
        /// The amount that was given: `doseQuantity`.
        dose: Option<Quantity>,
        /// Whether the dose does not count as a full one: `isSubpotent`.
        is_subpotent: bool,
        /// The number of the dose in its series: `doseNumber[x]` of the first `protocolApplied`.
        dose_number: Option<String>,
        /// The number of doses in that series: `seriesDoses[x]` of the same `protocolApplied`.
        series_doses: Option<String>,
        /// The series that the dose counts for: each `protocolApplied`.
        protocols: Vec<VaccinationProtocol>,
        /// Who made the vaccine: `manufacturer`.
        manufacturer: Option<Party>,
        /// The notes in words: the text of each `note`.
        notes: Vec<String>,
    }

    /// One series that a vaccination counts for, read from a `protocolApplied`.
    VaccinationProtocol of VaccinationProtocol {
        /// What the series is called.
        series: Option<String>,
        /// The diseases that are to be prevented: each `targetDisease`.
        target_diseases: Vec<Concept>,
        /// The number of the dose in the series: `doseNumber[x]`.
        dose_number: Option<String>,
        /// The number of doses in the series: `seriesDoses[x]`.
        series_doses: Option<String>,
    }

    /// One recommended dose, read from a `dateCriterion` of an `ImmunizationRecommendation`, or from a
    /// recommendation without one.
    NextDose of NextDose {
        /// The vaccine that is recommended: the first `vaccineCode`.
        vaccine: Option<Concept>,
        /// The vaccines of which any one is recommended: each `vaccineCode`.
        vaccines: Vec<Concept>,
        /// The vaccines that must **not** be given: `contraindicatedVaccineCode`.
        contraindicated: Vec<Concept>,
        /// The disease that is to be prevented: `targetDisease`.
        target_disease: Option<Concept>,
        /// Why the dose is in that state: `forecastReason`.
        reasons: Vec<Concept>,
        /// Whether the dose is due, overdue, contraindicated, complete, …: `forecastStatus`.
        forecast_status: Option<Concept>,
        /// The meaning of the date, such as due, earliest or overdue: `dateCriterion.code`.
        meaning: Option<Concept>,
        /// The date of the dose: `dateCriterion.value`, a FHIR date.
        date: Option<String>,
        /// The number of the dose in its series: `doseNumber[x]`.
        dose_number: Option<String>,
        /// The recommendation in words: its `description`.
        description: Option<String>,
    }
}

/// The main statements of a document, in the fields of its record type. What the document does not
/// state is null or an empty list. A list can be shown by the fields that all types have.
#[derive(Interface)]
#[graphql(
    field(
        name = "title",
        ty = "&Option<String>",
        desc = "What the document is about in one line, with each state that is not the usual one, such as `Peanut (refuted)`: what a list shows of it."
    ),
    field(
        name = "date",
        ty = "&Option<std::string::String>",
        desc = "The latest date that the document is about, as it gives it: a FHIR date."
    ),
    field(
        name = "date_period",
        ty = "&Option<Period>",
        desc = "The period that `date` belongs to, as the document gives it; null where it is no part of one."
    ),
    field(
        name = "unsupported_modifiers",
        ty = "&Vec<String>",
        desc = "The elements of the document that can turn the rest into its opposite and that the summary does not show in a field of its own. Where the list is not empty, read the document before you act."
    )
)]
pub(crate) enum RecordSummary {
    Diagnosis(DiagnosisSummary),
    LabResult(LabResultSummary),
    Prescription(PrescriptionSummary),
    TreatmentPlan(TreatmentPlanSummary),
    MedicalHistory(MedicalHistorySummary),
    VitalSigns(VitalSignsSummary),
    Imaging(ImagingSummary),
    Vaccination(VaccinationSummary),
}
