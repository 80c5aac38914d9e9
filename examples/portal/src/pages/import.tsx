// Bringing many records of a patient in at once: a file goes up, and what became of each entry is told.
import { CombinedError } from '@urql/core';
import { useEffect, useRef, useState } from 'react';
import { Link } from 'wouter';
import { MOST_IMPORTED, sendImport } from '../api/import';
import type { ImportLine } from '../api/import-lines';
import { Button, Card, Check, Facts, Failure, Field, Form, Notice, Page, Table, save } from '../ui';
import { bytes, t } from '../words';
import { importOutcome } from '../words/labels';

/** How many entries that were refused are listed; the saved report has all. */
const LISTED = 100;

interface Told {
  readonly counts: ReadonlyMap<string, number>;
  readonly refused: readonly ImportLine[];
  readonly last: ImportLine | undefined;
}

const NOTHING: Told = { counts: new Map(), refused: [], last: undefined };

/** The sums with more lines of the report. */
function withLines(before: Told, lines: readonly ImportLine[]): Told {
  const counts = new Map(before.counts);
  const refused = [...before.refused];
  let { last } = before;
  for (const line of lines) {
    if (line.ended !== undefined) last = line;
    if (!line.outcome) continue;
    counts.set(line.outcome, (counts.get(line.outcome) ?? 0) + 1);
    if (line.outcome === 'REFUSED' && refused.length < LISTED) refused.push(line);
  }
  return { counts, refused, last };
}

export default function Import({ patientId }: { patientId: string }) {
  const [file, setFile] = useState<File>();
  const [isTrial, setTrial] = useState(true);
  const [source, setSource] = useState('');
  const [sent, setSent] = useState<number>();
  const [told, setTold] = useState(NOTHING);
  const [report, setReport] = useState<{ text: string; isTrial: boolean }>();
  const [error, setError] = useState<CombinedError>();
  const stop = useRef<AbortController>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  const isTooLong = file !== undefined && file.size > MOST_IMPORTED;
  const isBusy = sent !== undefined;
  const forget = () => {
    setTold(NOTHING);
    setReport(undefined);
    setError(undefined);
  };
  const send = async () => {
    if (!file || isTooLong || isBusy) return;
    forget();
    setSent(0);
    const mine = (stop.current = new AbortController());
    const query = new URLSearchParams({ patient: patientId, ...(isTrial ? { dryRun: 'true' } : {}), ...(source.trim() ? { source: source.trim() } : {}) });
    const progress = { onSent: setSent, onLines: (lines: readonly ImportLine[]) => setTold((before) => withLines(before, lines)) };
    try {
      setReport({ text: await sendImport(query, file, progress, mine.signal), isTrial });
    } catch (cause) {
      if (!mine.signal.aborted) setError(cause instanceof CombinedError ? cause : new CombinedError({ networkError: cause as Error }));
    }
    setSent(undefined);
  };
  return (
    <Page title={t('Bring records in')} lead={<Link className="back" href={`/patients/${patientId}`}>{t('Patient')}</Link>}>
      <Card title={t('The file')}>
        <Form error={error} onSubmit={(event) => { event.preventDefault(); void send(); }}>
          <p>{t('NDJSON with a FHIR resource in each line (.ndjson), or a FHIR Bundle (.json). All of it becomes records of this patient.')}</p>
          <div className="field">
            <label htmlFor="import-file">{t('File')}</label>
            <input id="import-file" type="file" accept=".ndjson,.jsonl,.json,application/fhir+json,application/fhir+ndjson" disabled={isBusy} onChange={(event) => { setFile(event.target.files?.[0]); forget(); }} />
          </div>
          {isTooLong ? <Notice kind="bad">{t('It is longer than {0}: bring it in with the command line.', bytes(MOST_IMPORTED))}</Notice> : null}
          <Field label={t('The system that it comes from')} name="source" value={source} maxLength={255} hint={t('Such as its address, without blanks. What comes from there again becomes the next version of its record.')} onChange={setSource} />
          <Check isSelected={isTrial} onChange={setTrial}>{t('Only look what would become of it; store nothing')}</Check>
          <Failure error={error} />
          <div className="actions">
            <Button type="submit" kind="main" isPending={isBusy} isDisabled={!file || isTooLong}>{isTrial ? t('Look at it') : t('Bring it in')}</Button>
            {isBusy ? <Button onPress={() => stop.current?.abort()}>{t('Stop it')}</Button> : null}
          </div>
        </Form>
      </Card>
      {isBusy || told !== NOTHING || report ? <Report sent={sent} told={told} report={report} /> : null}
    </Page>
  );
}

function Report({ sent, told, report }: { sent: number | undefined; told: Told; report: { text: string; isTrial: boolean } | undefined }) {
  const seen = [...told.counts.values()].reduce((sum, each) => sum + each, 0);
  const isWhole = told.last?.ended === 'COMPLETE';
  return (
    <Card title={t('What becomes of it')} actions={report ? <Button onPress={() => save('import-report.ndjson', new Blob([report.text], { type: 'application/x-ndjson' }))}>{t('Save the report')}</Button> : null}>
      {sent === undefined ? null : <p><label>{t('Sent')} <progress value={sent} max={1} /></label> <span className="small">{t('{0} entries so far', seen)}</span></p>}
      {told.last ? (
        <Notice kind={isWhole ? 'good' : 'bad'}>
          {isWhole ? (report?.isTrial ? t('All of it was looked at; nothing was stored.') : t('All of it was taken.')) : t('It ended before the whole was there: what is listed as stored is stored. Send the same file again.')}
          {told.last.message ? <span className="small besides">{told.last.message}</span> : null}
        </Notice>
      ) : null}
      {report && !told.last ? <Notice kind="bad">{t('It ended before the whole was there: what is listed as stored is stored. Send the same file again.')}</Notice> : null}
      <div data-testid="import-counts"><Facts of={[...told.counts].map(([outcome, count]) => [importOutcome(outcome), count] as const)} /></div>
      {told.refused.length > 0 ? (
        <Table
          caption={t('Entries that were refused')}
          head={[t('Entry'), t('Code'), t('Why')]}
          rows={told.refused.map((each) => ({ key: String(each.entry), cells: [each.entry, each.code ?? '', `${each.message ?? ''}${each.field ? ` (${each.field})` : ''}`] }))}
        />
      ) : null}
      {told.refused.length === LISTED ? <p className="small">{t('The first {0} are listed; the report has all of them.', LISTED)}</p> : null}
    </Card>
  );
}
