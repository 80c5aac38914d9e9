// The certificate of an erased account: nobody can log in to it any more, and whoever has its claim code asks for it here.
import { useState } from 'react';
import { useMutation } from 'urql';
import { graphql } from '../gql';
import { Button, Card, Failure, Field, Form, save } from '../ui';
import { t } from '../words';

const CLAIM = graphql(`
  mutation ClaimCertificate($input: ClaimDeletionCertificateInput!) { claimDeletionCertificate(input: $input) { certificate { document } userErrors { code field message } } }
`);

export function Claim() {
  const [code, setCode] = useState('');
  const [{ fetching, error }, claim] = useMutation(CLAIM);
  return (
    <Card title={t('The certificate of an erased account')}>
      <Form error={error} onSubmit={async (event) => {
        event.preventDefault();
        const { data } = await claim({ input: { code } });
        const certificate = data?.claimDeletionCertificate?.certificate;
        if (certificate) save('certificate.json', new Blob([certificate.document], { type: 'application/json' }));
      }}>
        <Field label={t('Claim code')} name="code" value={code} isRequired onChange={setCode} />
        <Failure error={error} />
        <div className="actions"><Button type="submit" kind="main" isPending={fetching}>{t('Save the certificate')}</Button></div>
      </Form>
    </Card>
  );
}
