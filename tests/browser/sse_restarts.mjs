// Follows the integrity events with the client library `graphql-sse` while the api is started again, and says what it hears, one
// line each.
//
// --url <url>           of the api, without `/graphql`
// --token-file <file>   holds an access token
// Each connection goes on after the last event that was heard. It ends when the log-in does.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setTimeout } from 'node:timers/promises';
import { createClient } from 'graphql-sse';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, 'token-file': { type: 'string' } },
});
const authorization = `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}`;
let cursor;
const client = createClient({
  url: `${options.url}/graphql`,
  headers: () => (cursor ? { authorization, 'last-event-id': cursor } : { authorization }),
  // A minute for the api to be there again.
  retryAttempts: 300,
  retry: () => setTimeout(200),
  on: { connected: (again) => console.log(again ? 'connected again' : 'connected') },
});

const query = 'subscription { integrityEvents(after: "earliest") { kind recordId } }';
/** Follows until the stream ends; answers the code that it ends with. */
async function follow() {
  let code;
  for await (const { data, errors, extensions } of client.iterate({ query })) {
    if (errors) {
      code = errors[0].extensions.code;
      console.log(`error: ${code}`);
    } else {
      cursor = extensions.cursor;
      console.log(`event: ${data.integrityEvents.kind} ${data.integrityEvents.recordId}`);
    }
  }
  return code;
}

// An api that is told to stop ends its streams, and no library asks again by itself.
while ((await follow()) === 'UNAVAILABLE') await setTimeout(200);
