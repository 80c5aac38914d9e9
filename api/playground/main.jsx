// Puts GraphiQL and the account bar on the page.
import './workers.js';
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { createPortal } from 'react-dom';
import { AccountBar } from './account.jsx';
import { TabGroups } from './groups.jsx';
import { StatusLine } from './status.jsx';
import { storage } from './storage.js';
import { examples } from './examples.js';
import { fetcher } from './transport.js';

const accountPlace = document.getElementById('account');
const groupsPlace = document.getElementById('groups');

// Our scalars in JSON. Without this the Variables editor takes any of them for a string, a
// number or a boolean, and marks every document as wrong.
const text = { type: 'string' };
const SCALARS = { JSON: {}, UUID: text, DateTime: text, Cursor: text, Hash: text, TxHash: text, Address: text };

// Made once: GraphiQL forgets which one is open where they are others.
const PLUGINS = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

function Playground() {
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      plugins={PLUGINS}
      defaultTabs={examples}
      defaultEditorToolsVisibility="variables"
      customScalarSchemas={SCALARS}
      shouldPersistHeaders={false}
      inputValueDeprecation
      schemaDescription
    >
      <GraphiQL.Logo><span /></GraphiQL.Logo>
      <GraphiQL.Footer><StatusLine /></GraphiQL.Footer>
      {createPortal(<AccountBar />, accountPlace)}
      {createPortal(<TabGroups />, groupsPlace)}
    </GraphiQL>
  );
}

createRoot(document.getElementById('graphiql')).render(<Playground />);
