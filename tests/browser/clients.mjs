// Asks and follows with the client libraries Apollo Client and urql, and says what they hear, one line each.
//
// --url <url>           of the api, without `/graphql`
// --token-file <file>   holds an access token
// Each asks by automatic persisted queries twice, what is refused, and follows integrity events until the first comes.
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client/core';
import { CombinedGraphQLErrors } from '@apollo/client/errors';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, 'token-file': { type: 'string' } },
});
const url = `${options.url}/graphql`;
const authorization = `Bearer ${readFileSync(options['token-file'], 'utf8').trim()}`;

/** `fetch` that says what of a document is sent. */
const telling = (who) => (address, request) => {
  const { query, extensions } = JSON.parse(request.body);
  const hash = extensions?.persistedQuery ? 'a hash' : 'no hash';
  console.log(`${who} sends ${hash} and ${query ? 'a document' : 'no document'}`);
  return fetch(address, request);
};
const socket = () =>
  createClient({
    url: url.replace(/^http/, 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
  });
const follow = 'subscription Follow($after: Cursor) { integrityEvents(after: $after) { kind cursor } }';
const variables = { after: 'earliest' };

async function apollo() {
  const hash = new PersistedQueryLink({
    sha256: (text) => createHash('sha256').update(text).digest('hex'),
  });
  const http = new HttpLink({ uri: url, headers: { authorization }, fetch: telling('apollo') });
  const events = socket();
  const link = ApolloLink.split(
    ({ operationType }) => operationType === 'subscription',
    new GraphQLWsLink(events),
    ApolloLink.from([hash, http]),
  );
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  for (let times = 0; times < 2; times += 1) {
    const query = gql('query OfApollo { me { id username } }');
    const { data } = await client.query({ query, fetchPolicy: 'network-only' });
    console.log(`apollo: me ${data.me.username}`);
  }
  try {
    await client.query({ query: gql('query Refused { users { nodes { id } } }') });
  } catch (error) {
    if (!CombinedGraphQLErrors.is(error)) throw error;
    console.log(`apollo: ${error.errors[0].extensions.code}`);
  }
  await new Promise((resolve, reject) => {
    const following = client.subscribe({ query: gql(follow), variables }).subscribe({
      next: ({ data, error }) => {
        if (error) return reject(error);
        console.log(`apollo: event ${data.integrityEvents.kind}`);
        following.unsubscribe();
        return resolve();
      },
      error: reject,
    });
  });
  client.stop();
  await events.dispose();
}

async function urql() {
  const events = socket();
  const client = new Client({
    url,
    preferGetMethod: false,
    fetch: telling('urql'),
    fetchOptions: { headers: { authorization } },
    exchanges: [
      persistedExchange({ preferGetForPersistedQueries: false }),
      subscriptionExchange({
        forwardSubscription: (operation) => ({
          subscribe: (sink) => ({
            unsubscribe: events.subscribe({ ...operation, query: operation.query ?? '' }, sink),
          }),
        }),
      }),
      fetchExchange,
    ],
  });
  for (let times = 0; times < 2; times += 1) {
    const { data, error } = await client.query('query OfUrql { me { id username } }', {}).toPromise();
    if (error) throw error;
    console.log(`urql: me ${data.me.username}`);
  }
  const refused = await client.query('query Refused { users { nodes { id } } }', {}).toPromise();
  console.log(`urql: ${refused.error.graphQLErrors[0].extensions.code}`);
  await new Promise((resolve, reject) => {
    const following = client.subscription(follow, variables).subscribe(({ data, error }) => {
      if (error) return reject(error);
      console.log(`urql: event ${data.integrityEvents.kind}`);
      // It may come before `subscribe` has returned.
      setImmediate(() => following.unsubscribe());
      return resolve();
    });
  });
  await new Promise((resolve) => setImmediate(resolve));
  await events.dispose();
}

await apollo();
await urql();
