// Follows the integrity events with the client library `graphql-sse`, and says what it hears, one line each.
//
// --url <url>           of the api, without `/graphql`
// --token-file <file>   holds an access token, read again for each connection
// It ends when the stream does.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createClient } from 'graphql-sse';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, 'token-file': { type: 'string' } },
});
const url = `${options.url}/graphql`;
const client = createClient({
  url,
  headers: () => ({ authorization: `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}` }),
  on: { connecting: (again) => console.log(again ? 'connecting again' : 'connecting') },
});

for await (const answer of client.iterate({ query: '{ me { username } }' })) {
  console.log(`me: ${answer.data.me.username}`);
}
for await (const answer of createClient({ url }).iterate({ query: '{ me { username } }' })) {
  console.log(`without a token: ${answer.errors[0].extensions.code}`);
}

const query = 'subscription { integrityEvents(after: "earliest") { kind cursor } }';
for await (const answer of client.iterate({ query })) {
  const [error] = answer.errors ?? [];
  console.log(error ? `error: ${error.extensions.code}` : `event: ${answer.data.integrityEvents.kind}`);
}
