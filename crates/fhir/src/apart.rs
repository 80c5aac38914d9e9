//! Takes files out of a document that is too long with them in it: what was in an `Attachment` is promised by it then, and
//! stored beside the record. What a file is, and what its hashes are, is for whoever takes it out.

use crate::attachments::SHA256_URL;
use crate::issue::{object, text};
use crate::json::Json;
use crate::record_types::resource_type;
use crate::stamp::member_mut;

/// What is done with an `Attachment` that stands at a path.
type Change<'a> = dyn FnMut(&mut Json, &str) + 'a;

/// Hands out every `Attachment` of a document, in the order of [`attachments::of`](crate::attachments::of).
pub fn change_each(document: &mut Json, change: &mut dyn FnMut(&mut Json, &str)) {
    if let Some(kind) = resource_type(document).map(str::to_owned) {
        resource(document, &kind, &kind, change);
    }
}

fn resource(resource: &mut Json, kind: &str, path: &str, change: &mut Change<'_>) {
    let Json::Object(members) = resource else {
        return;
    };
    for (name, value) in members {
        let path = format!("{path}.{name}");
        match (kind, name.as_str()) {
            ("Media", "content") => change(value, &path),
            ("DiagnosticReport", "presentedForm") => each(value, &path, change),
            ("DocumentReference", "content") => each(value, &path, &mut |content, path| {
                if let Some(attachment) = member_mut(content, "attachment") {
                    change(attachment, &format!("{path}.attachment"));
                }
            }),
            (_, "contained") => each(value, &path, &mut |contained, path| {
                within(contained, path, change);
            }),
            ("Bundle", "entry") => each(value, &path, &mut |entry, path| {
                if let Some(resource) = member_mut(entry, "resource") {
                    within(resource, &format!("{path}.resource"), change);
                }
            }),
            _ => {}
        }
    }
}

fn within(inner: &mut Json, path: &str, change: &mut Change<'_>) {
    if let Some(kind) = resource_type(inner).map(str::to_owned) {
        resource(inner, &kind, path, change);
    }
}

/// The items of a list, each with its path.
fn each(list: &mut Json, path: &str, change: &mut Change<'_>) {
    if let Json::Array(items) = list {
        for (nth, item) in items.iter_mut().enumerate() {
            change(item, &format!("{path}[{nth}]"));
        }
    }
}

/// Puts the promise of a file into an `Attachment` in the place of the file: its length in bytes, its SHA-256 in small
/// hexadecimal digits, and its SHA-1 in base64. A length and a SHA-1 that stand there stay.
pub fn promise(attachment: &mut Json, size: u64, sha256: &str, sha1: &str) {
    let Json::Object(members) = attachment else {
        return;
    };
    members.retain(|(name, _)| name != "data");
    let mut said = vec![
        ("size", Json::Number(size.to_string())),
        ("hash", text(sha1)),
    ];
    said.retain(|(name, _)| members.iter().all(|(known, _)| known != name));
    for (name, value) in said {
        members.push((name.to_owned(), value));
    }
    let ours = object([("url", text(SHA256_URL)), ("valueString", text(sha256))]);
    let is_ours = |it: &Json| it.get("url").and_then(Json::as_str) == Some(SHA256_URL);
    match members.iter_mut().find(|(name, _)| name == "extension") {
        Some((_, Json::Array(extensions))) => {
            extensions.retain(|it| !is_ours(it));
            extensions.push(ours);
        }
        // What is no list is told when the document is checked.
        Some(_) => {}
        None => members.push(("extension".to_owned(), Json::Array(vec![ours]))),
    }
}

/// Says that the file of an `Attachment` is somewhere else than it says.
pub fn relocate(attachment: &mut Json, url: &str) {
    if let Json::Object(members) = attachment {
        members.retain(|(name, _)| name != "url");
    }
    locate(attachment, url);
}

/// Says where the file of an `Attachment` is, where it does not say so itself.
pub fn locate(attachment: &mut Json, url: &str) {
    if let Json::Object(members) = attachment
        && members.iter().all(|(name, _)| name != "url")
    {
        members.push(("url".to_owned(), text(url)));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::attachments;
    use crate::canonical::to_bytes;
    use crate::reader::read;

    #[test]
    fn attachments_are_handed_out_where_and_in_the_order_in_which_they_are_listed() {
        let document = r#"{"resourceType":"Bundle","entry":[
            {"resource":{"resourceType":"DiagnosticReport",
                "contained":[{"resourceType":"Media","content":{"title":"a"}}],
                "presentedForm":[{"title":"b"},{"title":"c"}]}},
            {"resource":{"resourceType":"Observation","content":{"title":"no"}}},
            {"resource":{"resourceType":"DocumentReference","content":[{"attachment":{"title":"d"}},{}]}}]}"#;
        let mut document = read(document.as_bytes()).unwrap();
        let listed = attachments::of(&document).into_iter().map(|it| it.path);
        let listed: Vec<String> = listed.collect();
        let mut handed = Vec::new();
        change_each(&mut document, &mut |_, path| handed.push(path.to_owned()));
        assert_eq!(handed, listed);
        assert_eq!(handed.len(), 4);
    }

    #[test]
    fn a_promise_takes_the_place_of_the_file_and_what_else_is_said_stays() {
        let media = r#"{"resourceType":"Media","content":{"contentType":"image/png","data":"AA==","hash":"x",
            "extension":[{"url":"urn:other","valueString":"y"}]}}"#;
        let mut media = read(media.as_bytes()).unwrap();
        change_each(&mut media, &mut |attachment, _| {
            promise(attachment, 1, &"0f".repeat(32), "sha1");
            locate(attachment, "Binary/7-1");
            locate(attachment, "Binary/8-1");
            relocate(attachment, "Binary/9-1");
        });
        let said = String::from_utf8(to_bytes(&media)).unwrap();
        let digits = "0f".repeat(32);
        assert_eq!(
            said,
            format!(
                r#"{{"content":{{"contentType":"image/png","extension":[{{"url":"urn:other","valueString":"y"}},{{"url":"{SHA256_URL}","valueString":"{digits}"}}],"hash":"x","size":1,"url":"Binary/9-1"}},"resourceType":"Media"}}"#
            )
        );
        assert!(attachments::of(&media)[0].is_apart());
    }
}
