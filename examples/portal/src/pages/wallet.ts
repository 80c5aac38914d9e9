// The person's own wallet, by the interface that browsers' wallets have (EIP-1193).
import type { Client } from '@urql/core';
import { graphql } from '../gql';
import type { WalletChallengePurpose } from '../gql/graphql';
import { t } from '../words';
import { explain } from '../words/errors';

declare global {
  interface Window {
    ethereum?: { request(of: { method: string; params?: unknown[] }): Promise<unknown> };
  }
}

const CHALLENGE = graphql(`
  mutation WalletChallenge($input: WalletChallengeInput!) { walletChallenge(input: $input) { message expiresAt userErrors { code field message } } }
`);

export async function walletAddress(): Promise<string> {
  const accounts = (await window.ethereum?.request({ method: 'eth_requestAccounts' })) as string[] | undefined;
  const [address] = accounts ?? [];
  if (!address) throw new Error(t('This browser has no wallet, or it gave no account.'));
  return address;
}

/** Has the wallet sign a message that the api made for it (EIP-4361). */
export async function signText(client: Client, purpose: WalletChallengePurpose): Promise<{ message: string; signature: string }> {
  const address = await walletAddress();
  const { data, error } = await client.mutation(CHALLENGE, { input: { address, purpose } }).toPromise();
  if (error) throw new Error(explain(error).text);
  const message = data?.walletChallenge?.message ?? '';
  const hex = `0x${Array.from(new TextEncoder().encode(message), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  const signature = (await window.ethereum?.request({ method: 'personal_sign', params: [hex, address] })) as string;
  return { message, signature };
}

/** Has the wallet sign typed data (EIP-712). */
export async function signTypedData(typedData: unknown, address: string): Promise<string> {
  await walletAddress();
  return (await window.ethereum?.request({ method: 'eth_signTypedData_v4', params: [address, JSON.stringify(typedData)] })) as string;
}
