// Holds the server against the audits of GraphQL over HTTP that the package `graphql-http` brings, and says what came of each,
// one line each.
//
// --url <url>   of the api, without `/graphql`
import { parseArgs } from 'node:util';
import { serverAudits } from 'graphql-http';

const { values: options } = parseArgs({ options: { url: { type: 'string' } } });
for (const audit of serverAudits({ url: `${options.url}/graphql`, fetchFn: fetch })) {
  const { status, reason } = await audit.fn();
  console.log(`${status}: ${audit.id} ${audit.name}${reason ? ` (${reason})` : ''}`);
}
