import { graphql } from '../gql';

export const UNREAD = graphql(`
  query Unread { unreadNotifications }
`);
export const NOTICE_FEED = graphql(`
  subscription NoticeFeed($language: Language, $after: Cursor) { notifications(after: $after) { id cursor kind at sentence(language: $language) } }
`);
