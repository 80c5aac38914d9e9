//! What people are told of what concerns them: listed, marked as read, followed.

pub(crate) mod graphql;
mod list;
mod sentence;
mod subscription;
