//! The files that documents name: elements of the type `Attachment` of a report, a medium or a reference to a document.
//!
//! A file is in its element (`data`), or it is stored beside the record. For the latter the element promises it: its type,
//! its length (`size`) and its SHA-256, in an extension, because `hash` of R4 is a SHA-1. What is promised is hashed with the
//! document, so that nothing else can be stored for it later.

use crate::{Issue, IssueCode, Json, record_types::resource_type};

/// The extension of an `Attachment` that holds the SHA-256 of the file, as 64 lower-case hexadecimal digits.
pub const SHA256_URL: &str = "https://meditrustal.example/fhir/StructureDefinition/sha256";
/// The longest file that is stored beside a record. Unit: bytes.
pub const MAX_BYTES: u64 = 16 << 20;
/// How many elements of a document can have a file beside it: the first so many.
pub const MAX_ATTACHMENTS: usize = 64;
/// How much of its beginning tells what a file is. Unit: bytes.
pub const HEAD: usize = 132;

/// The types of files that are stored, each known by what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// A document in PDF.
    Pdf,
    /// A picture in PNG.
    Png,
    /// A picture in JPEG.
    Jpeg,
    /// A DICOM file, with its preamble.
    Dicom,
    /// Text, in whatever encoding that has no control characters.
    Text,
}

impl ContentType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pdf, Self::Png, Self::Jpeg, Self::Dicom, Self::Text];

    /// The media type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Dicom => "application/dicom",
            Self::Text => "text/plain",
        }
    }

    /// How the names of such files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Dicom => "dcm",
            Self::Text => "txt",
        }
    }

    /// The type that a document names, whatever parameters stand behind it.
    pub fn of(declared: &str) -> Option<Self> {
        let name = declared.split(';').next().unwrap_or_default().trim();
        Self::ALL
            .into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether a file that begins so is of this type and of no other: a DICOM file whose preamble is the beginning of
    /// something else is both, and refused. `head` is the first [`HEAD`] bytes, or all of a shorter one.
    pub fn begins(self, head: &[u8]) -> bool {
        let found: Vec<Self> = Self::ALL
            .into_iter()
            .filter(|it| it.has_mark(head))
            .collect();
        match self {
            Self::Text => found.is_empty() && self.goes_on(head),
            Self::Pdf | Self::Png | Self::Jpeg | Self::Dicom => found == [self],
        }
    }

    /// Whether a file of this type may go on so.
    pub fn goes_on(self, bytes: &[u8]) -> bool {
        let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\x0c\r".contains(byte);
        match self {
            Self::Text => !bytes.iter().any(is_control),
            Self::Pdf | Self::Png | Self::Jpeg | Self::Dicom => true,
        }
    }

    fn has_mark(self, head: &[u8]) -> bool {
        match self {
            Self::Pdf => head.starts_with(b"%PDF-"),
            Self::Png => head.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Jpeg => head.starts_with(b"\xff\xd8\xff"),
            Self::Dicom => head.get(128..132) == Some(b"DICM".as_slice()),
            Self::Text => false,
        }
    }
}

/// What an element promises of a file that is beside the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Its type.
    pub content_type: ContentType,
    /// Its length, from 1 to [`MAX_BYTES`]. Unit: bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// An element of the type `Attachment`.
#[derive(Debug, Clone)]
pub struct Attachment<'a> {
    /// Where it stands.
    pub path: String,
    element: &'a Json,
}

impl Attachment<'_> {
    /// The file in base64, where it is in the element.
    pub fn data(&self) -> Option<&str> {
        self.text("data")
    }

    /// The type that the element names.
    pub fn content_type(&self) -> Option<&str> {
        self.text("contentType")
    }

    /// The SHA-1 that the element names, in base64.
    pub fn hash(&self) -> Option<&str> {
        self.text("hash")
    }

    /// The length that the element names. Unit: bytes.
    pub fn size(&self) -> Option<u64> {
        match self.element.get("size") {
            Some(Json::Number(digits)) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Where the element says that its file is.
    pub fn url(&self) -> Option<&str> {
        self.text("url")
    }

    /// Whether a file beside the record belongs to it: it names the SHA-256 of one, and has none in it.
    pub fn is_apart(&self) -> bool {
        self.data().is_none() && self.sha256().is_some()
    }

    /// What it promises of a file beside the record.
    ///
    /// # Errors
    /// What is missing, or cannot be stored.
    pub fn promise(&self) -> Result<Promise, Vec<Issue>> {
        let mut issues = Vec::new();
        let content_type = self.content_type().and_then(ContentType::of);
        if content_type.is_none() {
            let told = "a file beside a record is application/pdf, image/png, image/jpeg, application/dicom or text/plain";
            issues.push(self.issue(".contentType", "attachment-type", told));
        }
        let size = self.size().filter(|size| (1..=MAX_BYTES).contains(size));
        if size.is_none() {
            let told = "a file beside a record has a `size` from 1 byte to 16 MiB";
            issues.push(self.issue(".size", "attachment-size", told));
        }
        let sha256 = self.sha256().and_then(digest);
        if sha256.is_none() {
            let told = "the SHA-256 of a file is 64 lower-case hexadecimal digits";
            issues.push(self.issue(".extension", "attachment-sha256", told));
        }
        match (content_type, size, sha256) {
            (Some(content_type), Some(size), Some(sha256)) => Ok(Promise {
                content_type,
                size,
                sha256,
            }),
            _ => Err(issues),
        }
    }

    /// That the file is not what the element says of it.
    pub fn differs(&self, element: &str, rule: &str, told: &str) -> Issue {
        self.issue(&format!(".{element}"), rule, told)
    }

    fn issue(&self, element: &str, rule: &str, told: &str) -> Issue {
        Issue::error(
            IssueCode::BusinessRule,
            format!("{}{element}", self.path),
            rule,
            told,
        )
    }

    /// The SHA-256 that the element names, as it is written there.
    pub fn sha256(&self) -> Option<&str> {
        sha256_of(self.element)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.element.get(name)?.as_str()
    }
}

/// The SHA-256 that an `Attachment` names, as it is written there.
pub fn sha256_of(element: &Json) -> Option<&str> {
    let extensions = element.get("extension")?.as_array()?;
    let is_ours = |it: &&Json| it.get("url").and_then(Json::as_str) == Some(SHA256_URL);
    let ours = extensions.iter().find(is_ours)?;
    ours.get("valueString")?.as_str()
}

/// The 32 bytes of a digest.
fn digest(text: &str) -> Option<[u8; 32]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((value(*high)? << 4) | value(*low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes?.try_into().ok()
}

/// Every `Attachment` of a document, in the order in which they stand in it: of its Media, reports and references to
/// documents, those that are contained or in a Bundle, too. Of a stored document that is the order of the canonical form.
pub fn of(document: &Json) -> Vec<Attachment<'_>> {
    let mut found = Vec::new();
    if let Some(kind) = resource_type(document) {
        resource(document, kind, kind, &mut found);
    }
    found
}

/// Those of a resource, whose members are taken as they come.
fn resource<'a>(resource: &'a Json, kind: &str, path: &str, found: &mut Vec<Attachment<'a>>) {
    for (name, value) in resource.as_object().unwrap_or_default() {
        let path = format!("{path}.{name}");
        match (kind, name.as_str()) {
            ("Media", "content") => found.push(Attachment {
                path,
                element: value,
            }),
            ("DiagnosticReport", "presentedForm") => {
                found
                    .extend(each(value, &path).map(|(element, path)| Attachment { path, element }));
            }
            ("DocumentReference", "content") => {
                let of_content = each(value, &path).filter_map(|(content, path)| {
                    Some(Attachment {
                        path: format!("{path}.attachment"),
                        element: content.get("attachment")?,
                    })
                });
                found.extend(of_content);
            }
            (_, "contained") => {
                for (contained, path) in each(value, &path) {
                    within(contained, &path, found);
                }
            }
            ("Bundle", "entry") => {
                for (entry, path) in each(value, &path) {
                    if let Some(resource) = entry.get("resource") {
                        within(resource, &format!("{path}.resource"), found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn within<'a>(inner: &'a Json, path: &str, found: &mut Vec<Attachment<'a>>) {
    if let Some(kind) = resource_type(inner) {
        resource(inner, kind, path, found);
    }
}

/// The items of a list, each with its path.
fn each<'a>(list: &'a Json, path: &str) -> impl Iterator<Item = (&'a Json, String)> {
    let items = list.as_array().unwrap_or_default().iter().enumerate();
    items.map(move |(nth, item)| (item, format!("{path}[{nth}]")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::reader::read;

    fn media(members: &str) -> Json {
        let document = format!(
            r#"{{"resourceType":"Media","content":{{"contentType":"image/png"{members}}}}}"#
        );
        read(document.as_bytes()).unwrap()
    }

    fn sha256(digits: &str) -> String {
        format!(r#","extension":[{{"url":"{SHA256_URL}","valueString":"{digits}"}}]"#)
    }

    #[test]
    fn a_file_is_of_the_type_whose_mark_it_bears_and_of_no_other() {
        let mut dicom = vec![0; 128];
        dicom.extend_from_slice(b"DICM");
        let mut both = dicom.clone();
        both[..5].copy_from_slice(b"%PDF-");
        let files: [(&[u8], Option<ContentType>); 8] = [
            (b"%PDF-1.7\n", Some(ContentType::Pdf)),
            (b"\x89PNG\r\n\x1a\n", Some(ContentType::Png)),
            (b"\xff\xd8\xff\xe0", Some(ContentType::Jpeg)),
            (&dicom, Some(ContentType::Dicom)),
            (b"Gr\xc3\xbc\xc3\x9fe,\r\n", Some(ContentType::Text)),
            (&both, None),
            (b"GIF89a\x01\x00", None),
            (b"PK\x03\x04", None),
        ];
        for (nth, (file, wanted)) in files.into_iter().enumerate() {
            let found: Vec<_> = ContentType::ALL
                .into_iter()
                .filter(|it| it.begins(file))
                .collect();
            let wanted: Vec<_> = wanted.into_iter().collect();
            assert_eq!(found, wanted, "file {nth}");
        }
        assert!(!ContentType::Text.goes_on(b"\x00"));
        assert_eq!(
            ContentType::of("Text/Plain; charset=utf-8"),
            Some(ContentType::Text)
        );
        assert_eq!(ContentType::of("text/html"), None);
    }

    #[test]
    fn attachments_are_found_in_their_order_wherever_they_stand() {
        let document = r#"{"resourceType":"Bundle","entry":[
            {"resource":{"resourceType":"DiagnosticReport",
                "contained":[{"resourceType":"Media","content":{"title":"a"}}],
                "presentedForm":[{"title":"b"},{"title":"c"}]}},
            {"resource":{"resourceType":"Observation","content":{"title":"no"}}},
            {"resource":{"resourceType":"DocumentReference","content":[{"attachment":{"title":"d"}}]}}]}"#;
        let document = read(document.as_bytes()).unwrap();
        let paths: Vec<_> = of(&document).into_iter().map(|it| it.path).collect();
        assert_eq!(
            paths,
            [
                "Bundle.entry[0].resource.contained[0].content",
                "Bundle.entry[0].resource.presentedForm[0]",
                "Bundle.entry[0].resource.presentedForm[1]",
                "Bundle.entry[2].resource.content[0].attachment",
            ]
        );
    }

    #[test]
    fn a_promise_names_type_length_and_digest() {
        let digits = "0f".repeat(32);
        let whole = media(&format!(r#","size":16777216{}"#, sha256(&digits)));
        let promise = of(&whole)[0].promise().unwrap();
        assert_eq!(promise.size, MAX_BYTES);
        assert_eq!(promise.sha256, [15; 32]);
        let faults = [
            (
                format!(r#","size":16777217{}"#, sha256(&digits)),
                "attachment-size",
            ),
            (
                format!(r#","size":0{}"#, sha256(&digits)),
                "attachment-size",
            ),
            (sha256(&digits), "attachment-size"),
            (
                format!(r#","size":9{}"#, sha256(&"0F".repeat(32))),
                "attachment-sha256",
            ),
            (
                format!(r#","size":9{}"#, sha256(&"0f".repeat(31))),
                "attachment-sha256",
            ),
            (r#","size":9"#.to_owned(), "attachment-sha256"),
        ];
        for (members, rule) in faults {
            let document = media(&members);
            let issues = of(&document)[0].promise().unwrap_err();
            let rules: Vec<_> = issues.iter().map(|it| it.rule.as_str()).collect();
            assert_eq!(rules, [rule], "{members}");
        }
        assert!(of(&whole)[0].is_apart());
        let inline = media(&format!(r#","data":"AA=="{}"#, sha256(&digits)));
        assert!(!of(&inline)[0].is_apart());
    }
}
