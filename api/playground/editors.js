// What we do to GraphiQL's editors: long lines wrap, screen readers hear what each editor is
// for, and the token of whoever is logged in stands in Headers.
import { parseJSONC, pick, useGraphiQL } from '@graphiql/react';
import { useEffect, useRef } from 'react';
import { OWN_ID, RECORD_ID } from './examples.js';
import { findRecord, recordId } from './record-id.js';
import { session } from './session.js';

const isAuthorization = (name) => name.toLowerCase() === 'authorization';

const OPTIONS = {
  queryEditor: { ariaLabel: 'GraphQL operation', wordWrap: 'on' },
  variableEditor: { ariaLabel: 'Variables, as JSON', wordWrap: 'on' },
  headerEditor: { ariaLabel: 'Request headers, as JSON' }, // a wrapped token fills the pane
  responseEditor: { ariaLabel: 'Response', wordWrap: 'on' },
};

export function useReadableEditors() {
  const editors = useGraphiQL(pick('queryEditor', 'variableEditor', 'headerEditor', 'responseEditor'));
  useEffect(() => {
    for (const [name, options] of Object.entries(OPTIONS)) editors[name]?.updateOptions(options);
  }, Object.values(editors));
}

/**
 * Keeps the token in the Headers editor of the active tab.
 *
 * The editor is the truth: requests carry what it says. We write into a tab once per log-in
 * and take out only what we put in, so that an edit by hand stays.
 */
export function useTokenInHeaders() {
  const now = session.use();
  const { headerEditor, variableEditor } = useGraphiQL(pick('headerEditor', 'variableEditor'));
  const tab = useGraphiQL((graphiql) => graphiql.tabs[graphiql.activeTabIndex]?.id);
  const record = recordId.use();
  const written = useRef(new Map());

  useEffect(() => {
    if (!headerEditor || !tab) return;
    const before = written.current.get(tab);
    const wanted = now?.token;
    if (before === wanted) return;
    const text = withToken(headerEditor.getValue(), wanted, before);
    if (text !== null) headerEditor.setValue(text);
    written.current.set(tab, wanted);
  }, [now, tab, headerEditor]);

  useEffect(() => {
    const text = variableEditor?.getValue();
    if (now?.user.id && text?.includes(OWN_ID)) variableEditor.setValue(text.replaceAll(OWN_ID, now.user.id));
  }, [now, tab, variableEditor]);

  useEffect(() => {
    const text = variableEditor?.getValue();
    if (!now || !text?.includes(RECORD_ID)) return;
    if (record) variableEditor.setValue(text.replaceAll(RECORD_ID, record));
    else findRecord();
  }, [now, tab, variableEditor, record]);
}

/** The headers with `token` in place of `before`, or null where there is nothing to change. */
function withToken(text, token, before) {
  let headers;
  try {
    headers = text.trim() ? parseJSONC(text) : {};
  } catch {
    return null; // Half-typed JSON is the user's; the request will say what is wrong with it.
  }
  const names = Object.keys(headers).filter(isAuthorization);
  if (!token && !names.some((name) => headers[name] === `Bearer ${before}`)) return null;
  names.forEach((name) => delete headers[name]);
  if (token) headers.Authorization = `Bearer ${token}`;
  return Object.keys(headers).length ? JSON.stringify(headers, null, 2) : '';
}
