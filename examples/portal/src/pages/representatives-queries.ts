import { graphql } from '../gql';

graphql(`
  fragment RepresentativeParts on Representative {
    id relationship activities validFrom validUntil isByAdministrators reason endedAt isInForce
    patient { id username } representative { id username }
  }
`);
export const PEOPLE = graphql(`
  query PeopleIRepresent($after: Cursor) {
    peopleIRepresent(first: 50, after: $after) { nodes { ...RepresentativeParts } pageInfo { hasNextPage endCursor } }
  }
`);
