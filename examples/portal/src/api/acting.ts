// For whom the person acts as a representative, on the pages where they do. Every question there says so, by the argument
// `onBehalfOf`: without it they would be answered as themselves.
import { createContext, useContext } from 'react';
import type { RepresentedActivity } from '../gql/graphql';

export interface Acting {
  readonly patient: { readonly id: string; readonly username: string };
  readonly activities: ReadonlySet<RepresentedActivity>;
}

export const ActingFor = createContext<Acting | null>(null);

export const useActing = (): Acting | null => useContext(ActingFor);

/** The variable of a question: null for oneself. */
export function useOnBehalfOf(): { onBehalfOf: string | null } {
  return { onBehalfOf: useActing()?.patient.id ?? null };
}
