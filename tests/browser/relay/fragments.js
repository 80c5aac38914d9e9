// What a frontend that uses Relay asks for: fragments that are fetched again by `node`, and pages in both ways. Compiled, never run.
import { graphql } from 'relay-runtime';

export const me = graphql`
  query fragmentsMeQuery {
    me {
      ...fragmentsAccount
    }
  }
`;
export const account = graphql`
  fragment fragmentsAccount on User @refetchable(queryName: "fragmentsAccountRefetchQuery") {
    username
    role
    createdAt
  }
`;
export const record = graphql`
  fragment fragmentsRecord on MedicalRecord @refetchable(queryName: "fragmentsRecordRefetchQuery") {
    recordType
    version
    patient {
      username
    }
  }
`;
export const history = graphql`
  fragment fragmentsHistory on MedicalRecord
  @refetchable(queryName: "fragmentsHistoryPaginationQuery")
  @argumentDefinitions(count: { type: "Int", defaultValue: 1 }, cursor: { type: "Cursor" }) {
    history(first: $count, after: $cursor) @connection(key: "fragmentsHistory_history") {
      edges {
        node {
          version
          ...fragmentsRecord
        }
      }
    }
  }
`;
export const consents = graphql`
  fragment fragmentsConsents on Query
  @refetchable(queryName: "fragmentsConsentsPaginationQuery")
  @argumentDefinitions(
    first: { type: "Int" }
    after: { type: "Cursor" }
    last: { type: "Int" }
    before: { type: "Cursor" }
  ) {
    consents(first: $first, after: $after, last: $last, before: $before)
      @connection(key: "fragmentsConsents_consents") {
      totalCount
      edges {
        node {
          purpose
          isActive
        }
      }
      pageInfo {
        hasPreviousPage
        startCursor
      }
    }
  }
`;
export const records = graphql`
  query fragmentsRecordsQuery {
    medicalRecords(first: 1) {
      nodes {
        ...fragmentsRecord
        ...fragmentsHistory
      }
    }
  }
`;
export const any = graphql`
  query fragmentsNodesQuery($ids: [ID!]!) {
    nodes(ids: $ids) {
      __typename
      ...fragmentsAccount @alias(as: "account")
      ...fragmentsRecord @alias(as: "record")
    }
  }
`;
export const head = graphql`
  subscription fragmentsChainHeadSubscription {
    chainHead {
      headBlock
      lagBlocks
    }
  }
`;
