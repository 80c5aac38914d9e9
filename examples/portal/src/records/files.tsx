// The files that a record names: saving one, and sending one that its document promises.
import { CombinedError } from '@urql/core';
import { useRef, useState } from 'react';
import { useActing } from '../api/acting';
import { download, upload } from '../api/client';
import { type Attachment, MOST, fileName, promiseOf } from '../fhir/attachments';
import type { PurposeOfUse } from '../gql/graphql';
import { Button, Card, Failure, Notice, Tag, save } from '../ui';
import { bytes, t } from '../words';

interface Of {
  record: string;
  purpose?: PurposeOfUse;
  maySend: boolean;
}

export function Files({ files, ...of }: Of & { files: readonly Attachment[] }) {
  if (files.length === 0) return null;
  return (
    <Card title={t('Files')}>
      <ul className="plain files">{files.map((file) => <FileItem key={file.place} file={file} {...of} />)}</ul>
    </Card>
  );
}

export const filePath = (record: string, place: number, purpose: PurposeOfUse | undefined, onBehalfOf: string | undefined): string => {
  const query = new URLSearchParams({ ...(purpose ? { purpose } : {}), ...(onBehalfOf ? { onBehalfOf } : {}) }).toString();
  return `records/${record}/attachments/${place}${query ? `?${query}` : ''}`;
};

function FileItem({ file, record, purpose, maySend }: Of & { file: Attachment }) {
  const onBehalfOf = useActing()?.patient.id;
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<CombinedError>();
  const [told, setTold] = useState<{ kind: 'good' | 'bad'; text: string }>();
  const input = useRef<HTMLInputElement>(null);
  const title = file.title || t('File {0}', file.place);
  const path = filePath(record, file.place, purpose, onBehalfOf);
  const run = async (action: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    setTold(undefined);
    await action().catch((cause: unknown) => setError(cause instanceof CombinedError ? cause : new CombinedError({ networkError: cause as Error })));
    setBusy(false);
  };
  const take = () => run(async () => save(fileName(record, file), await download(path)));
  const send = (chosen: File) => run(async () => {
    const promised = await promiseOf(chosen);
    if (promised?.sha256 !== file.sha256) return setTold({ kind: 'bad', text: t('That is another file than the one that the document names.') });
    await upload(path, chosen);
    setTold({ kind: 'good', text: t('The file is stored.') });
  });
  const isThere = file.isWithin || file.sha256 !== '';
  return (
    <li>
      <div className="between">
        <span>
          <strong>{title}</strong> <Tag>{file.contentType || t('unknown type')}</Tag> {file.size === undefined ? null : <span className="small">{bytes(file.size)}</span>}
          {isThere ? null : <span className="small besides">{t('It is kept elsewhere:')} <code>{file.url || '–'}</code></span>}
        </span>
        {isThere ? (
          <span className="actions">
            <Button isPending={isBusy} aria-label={t('Save {0}', title)} onPress={take}>{t('Save')}</Button>
            {maySend && !file.isWithin ? <Button kind="quiet" isPending={isBusy} aria-label={t('Send {0}', title)} onPress={() => input.current?.click()}>{t('Send')}</Button> : null}
          </span>
        ) : null}
      </div>
      <input ref={input} type="file" hidden onChange={(event) => {
        const [chosen] = event.target.files ?? [];
        event.target.value = '';
        if (chosen) void send(chosen);
      }} />
      {told ? <Notice kind={told.kind}>{told.text}</Notice> : null}
      {error?.graphQLErrors[0]?.extensions['code'] === 'NOT_FOUND' ? <Notice kind="warn">{t('Nobody has sent this file yet.')}</Notice> : <Failure error={error} />}
    </li>
  );
}

/** Why a file cannot be taken, which `promiseOf` does not say. */
export const notTaken = (file: File): string =>
  file.size > MOST ? t('It is too large: a file has at most {0}.', bytes(MOST)) : file.size === 0 ? t('The file is empty.') : t('A file is a PDF, a picture (PNG, JPEG), DICOM or plain text.');
