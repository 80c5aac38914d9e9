// Which operation of the editor is run.
import { Kind, parse } from 'graphql';

/**
 * The name to send with `query`: `shown` where the document has that operation, else that of its only operation.
 *
 * GraphiQL reads the name a moment after the text has changed: who changes the tab and runs at once
 * would send the name that the tab before had.
 */
export function nameInDocument(query, shown) {
  const names = operationNames(query);
  if (!names || names.includes(shown)) return shown;
  return names.length === 1 ? names[0] : undefined;
}

/** The operations' names, `undefined` for one without; null for a document that does not parse: the API says why. */
export function operationNames(query) {
  try {
    const operations = parse(query).definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    return operations.map(({ name }) => name?.value);
  } catch {
    return null;
  }
}
