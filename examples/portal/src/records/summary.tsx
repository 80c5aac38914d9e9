// Shows a summary whole. It goes through whatever was asked for, and knows names for it: a field without a name of
// ours is shown by its own, and nothing is left out because nobody thought of it.
import type { ReactNode } from 'react';
import type { CodingPartsFragment, ConceptPartsFragment, MeasurementPartsFragment, QuantityPartsFragment } from '../gql/graphql';
import { Notice, Tag } from '../ui';
import { type English, fhirDate, t } from '../words';
import type { FoundRecord } from './queries';

type Json = null | undefined | string | number | boolean | object;

export type AnySummary = NonNullable<FoundRecord['summary']>;

const names: Record<string, English> = {
  abatement: 'Ended', absentReason: 'Why there is no value', achievement: 'Achieved', achievementCodings: 'Achieved, coded', activities: 'What is to be done', additionalInstructions: 'More instructions',
  administered: 'Given', allergies: 'Allergies', asNeeded: 'As needed', asNeededCodings: 'As needed, coded', asserted: 'Recorded', authenticator: 'Vouched for by', authored: 'Written', authors: 'Written by', bodySite: 'Body site', bodySites: 'Body sites', bounds: 'How long',
  careTeams: 'Care teams', categories: 'Categories', category: 'Category', clinicalStatus: 'Clinical status', code: 'Code', conclusion: 'Conclusion', conclusionCodes: 'Conclusion, coded',
  conclusions: 'Conclusions', conditions: 'Conditions', contents: 'Files', contentType: 'Type', contraindicated: 'Contraindicated', creation: 'Made', criticality: 'Criticality', custodian: 'Kept by', date: 'Date', datePeriod: 'Period', deceased: 'Deceased',
  description: 'Description', detail: 'Target', diagnoses: 'Diagnoses', docStatus: 'Status of the document', doctor: 'Doctor', documentReferences: 'Documents', doNotPerform: 'Do not do', dosage: 'Dosage', dosages: 'Dosage', dose: 'Dose',
  doseNumber: 'Number of the dose', doseRange: 'Dose, from and to', due: 'Until', emptyLists: 'Lists without entries', end: 'Ends', effective: 'Time', events: 'What was done', examinations: 'Examinations', facilities: 'Facilities',
  facilityType: 'Facility',
  family: 'Family', findings: 'Findings', forecastStatus: 'Status', format: 'Format', goals: 'Goals', high: 'To', informationSource: 'Said by', instructions: 'Instructions', intent: 'Intent', interpreters: 'Interpreted by',
  issued: 'Issued', isSubpotent: 'Subpotent', language: 'Language', laterality: 'Side', lotNumber: 'Batch', low: 'From', manifestations: 'Symptoms', manufacturer: 'Manufacturer', maxDose: 'Highest dose',
  maxDosePerAdministration: 'Highest dose at a time', maxDosePerLifetime: 'Highest dose in a life', meaning: 'Meaning', measure: 'Measure', measurements: 'Measurements', member: 'Who', members: 'Members',
  medication: 'Medication', medicationAdministrations: 'Administrations of medications', medications: 'Medications', medicationStatements: 'Statements about medications', method: 'Method', modalities: 'Modalities', modality: 'Modality', name: 'Name', nextDoses: 'Next doses', notes: 'Notes',
  observations: 'Observations', onBehalfOf: 'On behalf of', onset: 'Began', organizations: 'Organisations', otherDoses: 'Other doses', outcome: 'Outcome', outcomeCodings: 'Outcome, coded', outcomes: 'Outcomes', patientInstruction: 'For the patient', performed: 'Performed', performers: 'Performed by', period: 'Period',
  plans: 'Plans', practiceSetting: 'Field of medicine', prescriber: 'Prescriber', priority: 'Priority', procedures: 'Procedures', protocols: 'Counts for', radiologists: 'Radiologists', rate: 'Rate', reason: 'Why', reasons: 'Reasons',
  recorded: 'Recorded', referred: 'Refers to', relations: 'Relation to other documents', relationship: 'Relationship', resource: 'Part', reports: 'Reports', request: 'Order', requester: 'Requested by', results: 'Results', roles: 'Role', route: 'Route', routeCodings: 'Route, coded', scheduled: 'When',
  securityLabels: 'Confidentiality', sequence: 'Place in the order', series: 'Series', seriesDoses: 'Doses of the series', severities: 'Severities', severity: 'Severity', severityCodings: 'Severity, coded', site: 'Site', specimen: 'Specimen', stages: 'Stages', start: 'Begins', started: 'Begun', states: 'States',
  status: 'Status', statusReason: 'Reason of the status', statusReasons: 'Reason of the status', substances: 'Substances', substitution: 'Substitution', supply: 'Supply', target: 'Document', targetDisease: 'Against', targetDiseases: 'Against', targets: 'Targets', tests: 'Tests', timing: 'How often',
  title: 'Title', titles: 'Titles', type: 'Type', url: 'Address', vaccinations: 'Vaccinations', vaccine: 'Vaccine', vaccines: 'Any one of', validity: 'Valid', verificationStatus: 'Verification',
};
const DATES = new Set(['abatement', 'administered', 'asserted', 'authored', 'creation', 'date', 'due', 'effective', 'end', 'issued', 'onset', 'performed', 'recorded', 'start', 'started']);
const STATES = new Set(['status', 'docStatus', 'verificationStatus', 'clinicalStatus', 'intent', 'doNotPerform', 'isSubpotent', 'forecastStatus', 'criticality', 'priority']);
/** States that a reader expects: all others are marked. */
const USUAL = new Set(['final', 'active', 'completed', 'confirmed', 'order', 'routine', 'available', 'plan', 'amended', 'corrected', 'current']);
/** States that turn what they stand at into its opposite. */
const OPPOSITE = new Set(['entered-in-error', 'refuted', 'not-done', 'not-taken', 'cancelled']);
/** What each value of a table of measurements is, as a reader knows. */
const EXPECTED = new Set(['vital-signs', 'laboratory']);
const HIDDEN = new Set(['__typename', 'unsupportedModifiers']);

export const nameOf = (key: string): string => {
  const word = names[key];
  return word ? t(word) : key.replace(/([A-Z])/g, ' $1').toLowerCase();
};

/** The elements that can turn the rest into its opposite and that no field shows. */
export function Modifiers({ of, isShort = false }: { of: readonly string[]; isShort?: boolean }) {
  if (of.length === 0) return null;
  if (isShort) return <Tag kind="bad">{t('read the document')}</Tag>;
  return (
    <Notice kind="bad">
      <p><strong>{t('This summary does not say everything. Read the document before you act:')}</strong></p>
      <ul>{of.map((element) => <li key={element}><code>{element}</code></li>)}</ul>
    </Notice>
  );
}

export function Summary({ of }: { of: AnySummary }) {
  const rest = Object.entries(of).filter(([key, value]) => !HIDDEN.has(key) && key !== 'title' && key !== 'date' && isSaid(value as Json));
  return (
    <div className="summary">
      <Modifiers of={of.unsupportedModifiers} />
      {rest.map(([key, value]) => (
        <section key={key}>
          <h3>{nameOf(key)}</h3>
          <Value name={key} of={value as Json} />
        </section>
      ))}
    </div>
  );
}

function Value({ name, of }: { name: string; of: Json }): ReactNode {
  if (!isSaid(of)) return null;
  if (Array.isArray(of)) return <List name={name} of={of as Json[]} />;
  // What may be a text or a yes, such as `asNeeded[x]`, comes as a text.
  if (of === 'true' || of === 'false') return of === 'true' ? t('yes') : t('no');
  if (typeof of === 'string') return DATES.has(name) ? fhirDate(of) : of;
  if (typeof of === 'boolean') return of ? t('yes') : t('no');
  if (typeof of !== 'object' || of === null) return String(of);
  if (isCoding(of)) return <Codes of={[of]} />;
  if (isConcept(of)) return <Concept of={of} />;
  if (isQuantity(of)) return quantity(of);
  if (isParty(of)) return party(of);
  return <Parts of={of} />;
}

function List({ name, of }: { name: string; of: Json[] }) {
  if (of.some(isMeasurement)) return <Measurements of={of as MeasurementPartsFragment[]} />;
  if (of.every((item) => typeof item === 'string' || (typeof item === 'object' && item !== null && (isConcept(item) || isCoding(item) || isParty(item))))) {
    if (of.length === 1) return <Value name={name} of={of[0]} />;
    return <ul className="inline">{of.map((item, index) => <li key={index}><Value name={name} of={item} /></li>)}</ul>;
  }
  return <>{of.map((item, index) => <div className="item" key={index}><Value name={name} of={item} /></div>)}</>;
}

function Parts({ of }: { of: object }) {
  const entries = Object.entries(of).filter(([key, value]) => !HIDDEN.has(key) && isSaid(value as Json) && !(value === false)) as [string, Json][];
  const states = entries.filter(([key]) => STATES.has(key));
  const rest = entries.filter(([key]) => !STATES.has(key));
  return (
    <>
      {states.length > 0 ? <p className="tags">{states.map(([key, value]) => <State key={key} name={key} of={value} />)}</p> : null}
      <dl className="facts">
        {rest.map(([key, value]) => <div key={key}><dt>{nameOf(key)}</dt><dd><Value name={key} of={value} /></dd></div>)}
      </dl>
    </>
  );
}

function State({ name, of }: { name: string; of: Json }) {
  const isUsual = typeof of === 'string' && USUAL.has(of);
  if (of === true) return <Tag kind="bad">{nameOf(name)}</Tag>;
  const isOpposite = typeof of === 'string' && OPPOSITE.has(of);
  return <Tag kind={isUsual ? 'plain' : isOpposite ? 'bad' : 'warn'}>{nameOf(name)}: <Value name={name} of={of} /></Tag>;
}

function Concept({ of }: { of: ConceptPartsFragment }) {
  const text = of.text ?? of.codings.find((coding) => coding.display)?.display ?? of.codings[0]?.code ?? '–';
  return <span>{text}<Codes of={of.codings} besides={text} /></span>;
}

function Codes({ of, besides = '' }: { of: readonly CodingPartsFragment[]; besides?: string }) {
  return of.filter((coding) => coding.code || coding.display).map((coding, index) => (
    <span className="code" key={index} title={[coding.system, coding.display].filter(Boolean).join(' · ')}>
      {[coding.display === besides ? null : coding.display, coding.code ? `${systemName(coding.system)} ${coding.code}` : null].filter(Boolean).join(' · ')}
    </span>
  ));
}

const SYSTEMS: Record<string, string> = {
  'http://loinc.org': 'LOINC',
  'http://snomed.info/sct': 'SNOMED CT',
  'http://hl7.org/fhir/sid/icd-10': 'ICD-10',
  'http://www.whocc.no/atc': 'ATC',
  'http://hl7.org/fhir/sid/cvx': 'CVX',
};
const systemName = (system: string | null | undefined): string => (system ? (SYSTEMS[system] ?? system.split('/').pop() ?? '') : '');

export function quantity(of: QuantityPartsFragment): string {
  return [of.comparator, of.value, of.unit ?? of.code].filter(Boolean).join(' ');
}

const party = (of: { name?: string | null; reference?: string | null; identifier?: string | null }): string =>
  of.name ?? of.reference ?? of.identifier ?? '–';

type OfTheWhole = 'components' | 'members' | 'categories' | 'specimen' | 'notes';
type MeasurementLike = Omit<MeasurementPartsFragment, OfTheWhole> & Partial<Pick<MeasurementPartsFragment, OfTheWhole>>;

export function valueOf(of: Pick<MeasurementLike, 'comparator' | 'value' | 'unit' | 'unitCode' | 'text'>): string {
  if (of.value) return [of.comparator, of.value, of.unit ?? of.unitCode].filter(Boolean).join(' ');
  return of.text ?? '';
}

/** One row for each measurement, and one for each of its components. */
export function Measurements({ of }: { of: readonly MeasurementPartsFragment[] }) {
  const rows = of.flatMap((each, index) => [
    { key: `${index}`, row: each as MeasurementLike, isPart: false },
    ...each.components.map((part, at) => ({ key: `${index}.${at}`, row: part as MeasurementLike, isPart: true })),
  ]);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={t('Measurements')}>
      <table className="measurements">
        <thead><tr><th scope="col">{t('What')}</th><th scope="col">{t('Value')}</th><th scope="col">{t('Reference')}</th><th scope="col">{t('Time')}</th></tr></thead>
        <tbody>
          {rows.map(({ key, row, isPart }) => (
            <tr key={key} className={isPart ? 'part' : ''}>
              <th scope="row">
                {row.code ? <Concept of={{ ...row.code, text: row.name ?? row.code.text ?? null }} /> : (row.name ?? '–')}
                <Rest of={row} />
              </th>
              <td data-label={t('Value')}>
                {said(row) ? <strong>{said(row)}</strong> : null}
                <Codes of={[...row.valueCodings, ...row.absentReasonCodings]} besides={row.text ?? row.absentReason ?? ''} />
                {row.status && !USUAL.has(row.status) ? <Tag kind="bad">{row.status}</Tag> : null}
                {row.status === 'amended' || row.status === 'corrected' ? <Tag>{row.status}</Tag> : null}
                {row.interpretations.map((each, index) => <Tag key={index} kind="warn"><Concept of={each} /></Tag>)}
              </td>
              <td data-label={t('Reference')}>{row.referenceRanges.map((range, index) => <div key={index}>{rangeText(range)}</div>)}</td>
              <td data-label={t('Time')}>{row.effective ? fhirDate(row.effective) : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The value, or why there is none; nothing where the components have the values. */
const said = (row: MeasurementLike): string =>
  valueOf(row) || (row.absentReason ? `${t('none')}: ${row.absentReason}` : row.components?.length || row.members?.length ? '' : '–');

/** What a measurement says besides: whom it is of, where, how and by whom. */
function Rest({ of }: { of: MeasurementLike }) {
  const parts: [string, ReactNode][] = [];
  if (of.focus.length > 0) parts.push([t('Of'), of.focus.map(party).join(', ')]);
  if (of.bodySite) parts.push([nameOf('bodySite'), <Concept of={of.bodySite} />]);
  if (of.method) parts.push([nameOf('method'), <Concept of={of.method} />]);
  const categories = (of.categories ?? []).filter((each) => !each.codings.some((coding) => EXPECTED.has(coding.code ?? '')));
  if (categories.length > 0) parts.push([nameOf('categories'), categories.map((each, index) => <Concept key={index} of={each} />)]);
  if (of.performers.length > 0) parts.push([nameOf('performers'), of.performers.map(party).join(', ')]);
  if (of.members?.length) parts.push([t('Contains'), of.members.map(party).join(', ')]);
  if (of.specimen) parts.push([nameOf('specimen'), party(of.specimen)]);
  if (of.notes?.length) parts.push([nameOf('notes'), of.notes.join('; ')]);
  return <>{parts.map(([name, value]) => <span className="small besides" key={name}>{name}: {value}</span>)}</>;
}

export function rangeText(of: Pick<MeasurementPartsFragment['referenceRanges'][number], 'low' | 'high' | 'text'>): string {
  const low = of.low ? quantity(of.low) : '';
  const high = of.high ? quantity(of.high) : '';
  const between = low && high ? `${low} – ${high}` : low ? `≥ ${low}` : high ? `≤ ${high}` : '';
  return [between, of.text].filter(Boolean).join(', ');
}

const isSaid = (value: Json): boolean => value !== null && value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);
const has = (of: object, ...keys: string[]): boolean => keys.every((key) => key in of);
const isConcept = (of: object): of is ConceptPartsFragment => has(of, 'codings');
const isCoding = (of: object): of is CodingPartsFragment => has(of, 'system', 'code', 'display');
const isMeasurement = (of: Json): boolean => typeof of === 'object' && of !== null && has(of, 'referenceRanges', 'absentReason');
const isQuantity = (of: object): of is QuantityPartsFragment => has(of, 'value', 'comparator', 'unit') && !has(of, 'referenceRanges');
const isParty = (of: object): of is { name: string | null; reference: string | null; identifier: string | null } => has(of, 'name', 'reference', 'identifier') && !has(of, 'status');
