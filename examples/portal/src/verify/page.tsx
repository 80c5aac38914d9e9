import { type FormEvent, useState } from 'react';
import { I18nProvider } from 'react-aria-components';
import { useStore } from '../api/store';
import { Button, Card, Facts, Field, Notice, Page } from '../ui';
import { type English, type Language, language, loadLanguage, t, time } from '../words';
import type { Outcome, Verdict } from './verify';

const WORDS: Record<Verdict, English> = {
  ACTIVE: 'It is what was anchored, and it stands.',
  ERASED: 'It was anchored, and erased since.',
  NONE: 'The registry does not know this file. Either it was never anchored, or it is not byte for byte what was.',
  REVOKED: 'It was anchored, and revoked since: do not rely on it.',
  SUPERSEDED: 'It was anchored, and a newer version took its place.',
};

export function VerifyPage() {
  const tongue = useStore(language);
  return (
    <I18nProvider locale={tongue === 'id' ? 'id-ID' : 'en-GB'}>
      <header className="head">
        <span className="brand"><img src="./icon.svg" alt="" width="24" height="24" /> MediTrustAl</span>
        <span className="spacer" />
        <select className="language" aria-label={t('Language')} value={tongue} onChange={(event) => void loadLanguage(event.target.value as Language)}>
          <option value="en" lang="en">English</option>
          <option value="id" lang="id">Bahasa Indonesia</option>
        </select>
      </header>
      <main id="main" className="alone" key={tongue}>
        <Page title={t('Verify a file')} lead={t('The file stays in this browser. Its hash is compared with the registry by a node of your choice; nothing of ours is asked.')}>
          <VerifyForm />
          <Card title={t('What this page can tell, and what not')}>
            <ul>
              <li>{t('The hash is SHA-256 of the bytes of the file, by your browser. Save the file as it is: a document that was formatted anew has another hash.')}</li>
              <li>{t('The node is believed: take one that you run or trust, and a second one of somebody else. They have to agree about the same block.')}</li>
              <li>{t('The address of the registry has to come from somebody whom you trust, not from whoever gave you the file.')}</li>
              <li>{t('For proofs from the hash of a block, use the command meditrustal verify --proven.')}</li>
            </ul>
          </Card>
        </Page>
      </main>
    </I18nProvider>
  );
}

function VerifyForm() {
  const [file, setFile] = useState<File>();
  const [node, setNode] = useState('');
  const [witness, setWitness] = useState('');
  const [registry, setRegistry] = useState('');
  const [outcome, setOutcome] = useState<Outcome>();
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!file) return;
    setBusy(true);
    setOutcome(undefined);
    setError(undefined);
    try {
      const { verify } = await import('./verify');
      setOutcome(await verify(new Uint8Array(await file.arrayBuffer()), { node: node.trim(), witness: witness.trim() || undefined, registry: registry.trim() }));
    } catch (cause) {
      setError(cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause));
    }
    setBusy(false);
  };
  return (
    <Card>
      <form onSubmit={submit}>
        <div className="field">
          <label htmlFor="file">{t('File')}</label>
          <input id="file" type="file" required onChange={(event) => setFile(event.target.files?.[0])} />
        </div>
        <Field label={t('Address of a node (JSON-RPC)')} type="url" value={node} isRequired placeholder="https://" onChange={setNode} />
        <Field label={t('Address of a second node')} type="url" value={witness} placeholder="https://" onChange={setWitness} />
        <Field label={t('Address of the registry')} value={registry} isRequired pattern="0x[0-9a-fA-F]{40}" placeholder="0x" onChange={setRegistry} />
        <div className="actions"><Button type="submit" kind="main" isPending={isBusy} isDisabled={!file}>{t('Verify')}</Button></div>
      </form>
      {error ? <Notice kind="bad">{t('Nobody can tell: {0}', error)}</Notice> : null}
      {outcome ? <Result of={outcome} /> : null}
    </Card>
  );
}

function Result({ of }: { of: Outcome }) {
  const isGood = of.verdict === 'ACTIVE' && of.doesWitnessAgree !== false && of.isKnownCode;
  const kind = of.doesWitnessAgree === false ? 'bad' : isGood ? 'good' : of.verdict === 'ACTIVE' || of.verdict === 'SUPERSEDED' ? 'warn' : 'bad';
  return (
    <>
      <Notice kind={kind}><strong data-testid="verdict" data-verdict={of.verdict}>{t(WORDS[of.verdict])}</strong></Notice>
      {of.doesWitnessAgree === false ? <Notice kind="bad">{t('The two nodes do not agree: believe neither.')}</Notice> : null}
      {of.isKnownCode ? null : <Notice kind="warn">{t('The code at this address is not the registry that this page knows: look whether the address is right.')}</Notice>}
      <Facts of={[
        ['SHA-256', <code key="hash" data-testid="hash">{of.hash}</code>],
        [t('Chain'), of.chainId],
        [t('Anchored'), of.anchoredAt ? time(of.anchoredAt) : null],
        [t('Block of the anchor'), of.anchorBlock],
        [t('Final'), of.verdict === 'NONE' ? null : of.isFinal ? t('yes') : t('not yet: the block can still be undone')],
        [t('Anchored by'), of.registrar ? <code key="by">{of.registrar}</code> : null],
        [t('Ended'), of.endedAt ? `${time(of.endedAt)} (${of.reason ?? 0})` : null],
        [t('Ended by'), of.endedBy ? <code key="ended">{of.endedBy}</code> : null],
        [t('Its newer version'), of.successor ? <code key="successor">{of.successor}</code> : null],
        [t('Hash of the code'), <code key="code">{of.codeHash}</code>],
        [t('Read at block'), <span key="block">{of.block}, {time(of.blockTime)} <code>{of.blockHash}</code></span>],
        [t('Second node'), of.doesWitnessAgree === undefined ? t('none was asked') : of.doesWitnessAgree ? t('agrees') : t('does not agree')],
      ]} />
    </>
  );
}
