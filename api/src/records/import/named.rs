//! Files of an import, each a `Binary`, that documents name by its address (`Attachment.url`): what is known of each, so that a
//! document can promise it, wherever in the import the two stand. The files themselves are elsewhere.

use std::collections::{HashMap, HashSet};

use fhir::{
    Issue, IssueCode, Json, Severity, apart,
    attachments::{ContentType, MAX_ATTACHMENTS, MAX_BYTES as MAX_FILE, sha256_of},
    origin::{self, NameScope},
};
use uuid::Uuid;
use vault::{attachment::FileHash, digest};

use super::{files::TakenFile, name_hashes::NameHashes, prepared::Prepared};
use crate::records::{attachments::is_of, decrypt};

/// How many different files are known of one import.
const MAX_FILES: usize = 1 << 16;
/// How many names are known of files, and how many are looked for.
const MAX_NAMES: usize = 1 << 18;
/// The rule of a file that is there and not stored, so that the document goes on naming its address.
pub(crate) const NOT_TAKEN: &str = "attachment-not-taken";
/// The rule of a file that came in a later window than a document that names it, and that this document does not get.
pub(crate) const TOO_LATE: &str = "attachment-too-late";

/// What is known of a file.
#[derive(Debug)]
struct FileFacts {
    size: u64,
    /// Its SHA-1 in base64.
    sha1: String,
    /// Of which type it is, if that is one that is stored.
    content_type: Option<ContentType>,
    /// What it is called.
    names: Vec<u128>,
}

/// The files of an import that have come, and what documents look for.
#[derive(Debug, Default)]
pub(crate) struct NamedFiles {
    /// What is called so, by its SHA-256; `None` where two are.
    names: HashMap<u128, Option<[u8; 32]>>,
    files: HashMap<[u8; 32], FileFacts>,
    /// The same of files of earlier windows that are there for documents of later ones.
    earlier_names: HashMap<u128, Option<[u8; 32]>>,
    earlier_files: HashMap<[u8; 32], FileFacts>,
    /// The last entry that names this file, by a name or a SHA-256.
    wanted: HashMap<u128, u64>,
    /// The names of what had not come with its window, in documents that are looked at again when all has arrived.
    awaited: HashSet<u128>,
    /// The same in documents that are not.
    missed: HashSet<u128>,
    hashes: NameHashes,
}

impl NamedFiles {
    /// Forgets all of them but those that are remembered: what comes may claim no other that came before. What is looked for in later
    /// windows stays.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.files.clear();
        self.wanted.clear();
    }

    /// Whether another file can be remembered for documents of later windows: one that a document claims already, in half of the room.
    pub(crate) fn has_room_behind(&self, is_claimed: bool) -> bool {
        let share = if is_claimed { 2 } else { 1 };
        let (files, names) = (self.earlier_files.len(), self.earlier_names.len());
        files < MAX_FILES / share && names < MAX_NAMES / share
    }

    /// Has documents of later windows find a file of this one, all of which has come.
    pub(crate) fn remember(&mut self, file: &TakenFile) {
        let Some(facts) = self.files.get(&file.sha256) else {
            return;
        };
        for name in &facts.names {
            let Some(meant) = self.names.get(name).copied() else {
                continue;
            };
            let known = self.earlier_names.entry(*name).or_insert(meant);
            // What two files are called means neither, here, too.
            if *known != meant {
                *known = None;
            }
        }
        let known = self.earlier_files.entry(file.sha256);
        known.or_insert_with(|| facts.without_names());
    }

    /// Has documents of later windows find no other file by a name of this one, for which there is no room.
    pub(crate) fn forget_shared_names(&mut self, file: &TakenFile) {
        let Some(facts) = self.files.get(&file.sha256) else {
            return;
        };
        for name in &facts.names {
            let meant = self.names.get(name).copied().flatten();
            if let Some(known) = self.earlier_names.get_mut(name)
                && *known != meant
            {
                *known = None;
            }
        }
    }

    /// Learns of a file that has come.
    pub(crate) fn learn(&mut self, names: &[String], file: &TakenFile) {
        let is_known = self.files.contains_key(&file.sha256);
        if !is_known && self.files.len() >= MAX_FILES {
            return;
        }
        let names: Vec<u128> = names.iter().map(|name| self.hashes.of(name)).collect();
        for name in &names {
            if self.names.len() >= MAX_NAMES && !self.names.contains_key(name) {
                continue;
            }
            let known = self.names.entry(*name).or_insert(Some(file.sha256));
            // What two files are called means neither.
            if *known != Some(file.sha256) {
                *known = None;
            }
        }
        let of_file = self.files.entry(file.sha256);
        let of_file = of_file.or_insert_with(|| FileFacts::of(file));
        if of_file.names.len() < MAX_ATTACHMENTS {
            of_file.names.extend(names);
        }
    }

    /// Learns which files a document looks for that is this entry.
    pub(crate) fn want(&mut self, one: &Prepared, number: u64, source: Option<&str>) {
        let scope = one.scope(source);
        let urls = one.urls();
        let mut names: Vec<String> = urls
            .iter()
            .flat_map(|url| origin::names_meant(url, scope))
            .collect();
        if one.promises_files() {
            names.extend(one.promised().iter().map(|sha256| digest::to_hex(sha256)));
        }
        for name in names {
            let name = self.hashes.of(&name);
            if self.wanted.len() < MAX_NAMES || self.wanted.contains_key(&name) {
                self.wanted.insert(name, number);
            }
        }
    }

    /// Whether a document behind this entry looks for a file.
    pub(crate) fn is_wanted_behind(&self, file: &TakenFile, number: u64) -> bool {
        let Some(facts) = self.files.get(&file.sha256) else {
            return false;
        };
        let is_behind = |name: &u128| self.wanted.get(name).is_some_and(|last| *last > number);
        let is_its = |name: &u128| self.names.get(name) == Some(&Some(file.sha256));
        let by_name = |name: &u128| facts.is_stored() && is_its(name) && is_behind(name);
        is_behind(&self.hashes.of(&digest::to_hex(&file.sha256))) || facts.names.iter().any(by_name)
    }

    /// Whether a document names a file that has not come, or may yet turn out to be another.
    pub(crate) fn lacks(&self, one: &Prepared, source: Option<&str>) -> bool {
        let scope = one.scope(source);
        let urls = one.urls();
        urls.iter().any(|url| self.meant(url, scope).is_none())
    }

    /// Whether a document names a file that has come.
    pub(crate) fn has_any_of(&self, one: &Prepared, source: Option<&str>) -> bool {
        let scope = one.scope(source);
        let urls = one.urls();
        urls.iter().any(|url| self.meant(url, scope).is_some())
    }

    /// Whether nothing has come that is called as a file that a document names.
    pub(crate) fn has_none_of(&self, one: &Prepared, source: Option<&str>) -> bool {
        let scope = one.scope(source);
        let urls = one.urls();
        urls.iter()
            .all(|url| !self.is_known(&self.hashes_of(url, scope)))
    }

    /// Learns which files a document looks for that have not come with its window, and whether it is looked at again when all has
    /// arrived.
    pub(crate) fn lack(&mut self, one: &Prepared, source: Option<&str>, is_again: bool) {
        let scope = one.scope(source);
        for url in one.urls() {
            let names = self.hashes_of(&url, scope);
            if self.is_known(&names) {
                continue;
            }
            let lacked = if is_again && self.awaited.len() < MAX_NAMES {
                &mut self.awaited
            } else {
                &mut self.missed
            };
            if lacked.len() < MAX_NAMES {
                lacked.extend(names);
            }
        }
    }

    /// Those of the names of a file by which documents of earlier windows look for it that are looked at again.
    pub(crate) fn awaited_of(&self, names: &[String]) -> Vec<String> {
        let is_awaited = |name: &&String| self.awaited.contains(&self.hashes.of(name));
        names.iter().filter(is_awaited).cloned().collect()
    }

    /// Whether a document of an earlier window looks for a file, and is looked at again.
    pub(crate) fn is_awaited(&self, file: &TakenFile) -> bool {
        self.is_called(file, &self.awaited)
    }

    /// Whether a document of an earlier window looks for a file, and is not looked at again.
    pub(crate) fn is_missed(&self, file: &TakenFile) -> bool {
        self.is_called(file, &self.missed)
    }

    fn is_called(&self, file: &TakenFile, names: &HashSet<u128>) -> bool {
        let facts = self.files.get(&file.sha256);
        facts.is_some_and(|facts| facts.names.iter().any(|name| names.contains(name)))
    }

    /// Whether a file has come.
    pub(crate) fn has(&self, file: &TakenFile) -> bool {
        self.files.contains_key(&file.sha256)
    }

    /// Whether one has come that is stored beside records.
    pub(crate) fn has_storable(&self, file: &TakenFile) -> bool {
        self.files
            .get(&file.sha256)
            .is_some_and(FileFacts::is_stored)
    }

    /// Whether a name means this file, and it is stored beside records.
    pub(crate) fn is_claimable(&self, file: &TakenFile) -> bool {
        let facts = self.files.get(&file.sha256);
        let is_its = |name: &u128| self.names.get(name) == Some(&Some(file.sha256));
        facts.is_some_and(|facts| facts.is_stored() && facts.names.iter().any(is_its))
    }

    /// Whether another file has a name of this one, which means neither.
    pub(crate) fn is_ambiguous(&self, file: &TakenFile) -> bool {
        let facts = self.files.get(&file.sha256);
        let means_neither = |name: &u128| self.names.get(name) == Some(&None);
        facts.is_some_and(|facts| facts.names.iter().any(means_neither))
    }

    /// Whether another file can be learnt of.
    pub(crate) fn has_room(&self) -> bool {
        self.files.len() < MAX_FILES && self.names.len() < MAX_NAMES
    }

    /// What an address may mean.
    fn hashes_of(&self, url: &str, scope: NameScope<'_>) -> Vec<u128> {
        let names = origin::names_meant(url, scope);
        names.iter().map(|name| self.hashes.of(name)).collect()
    }

    /// Whether anything that has come is called so.
    fn is_known(&self, names: &[u128]) -> bool {
        let (here, earlier) = (&self.names, &self.earlier_names);
        let is_known = |name: &u128| here.contains_key(name) || earlier.contains_key(name);
        names.iter().any(is_known)
    }

    /// The file that an address means: of its window, or else of an earlier one.
    fn meant(&self, url: &str, scope: NameScope<'_>) -> Option<[u8; 32]> {
        let names = self.hashes_of(url, scope);
        let known = names.iter().find_map(|name| self.names.get(name));
        let known = known.or_else(|| names.iter().find_map(|name| self.earlier_names.get(name)));
        *known?
    }

    /// What is known of the file that an address means.
    fn facts_of(&self, sha256: &[u8; 32]) -> Option<&FileFacts> {
        let known = self.files.get(sha256);
        known.or_else(|| self.earlier_files.get(sha256))
    }

    /// Has a document promise the files that it names and that have come, and notes which of them cannot be stored. Gives the
    /// SHA-256 of those that it promises now.
    pub(crate) fn claim(&self, one: &mut Prepared, source: Option<&str>) -> Vec<[u8; 32]> {
        let mut claimed = Vec::new();
        let has_none = self.files.is_empty() && self.earlier_files.is_empty();
        if has_none || !one.names_files() {
            return claimed;
        }
        // Places are counted in the order of the canonical form.
        if let Some(canonical) = decrypt::document(&fhir::canonical::to_bytes(&one.document)) {
            one.document = canonical;
        }
        let said = origin::said_source(&one.document, one.full_url.as_deref());
        let said = said.map(str::to_owned);
        let scope = NameScope {
            named: source,
            full_url: one.full_url.as_deref(),
            said: said.as_deref(),
        };
        let (mut place, notes) = (0, &mut one.notes);
        apart::change_each(&mut one.document, &mut |attachment, path| {
            place += 1;
            let meant = url_of(attachment).and_then(|url| self.meant(url, scope));
            let Some((sha256, facts)) =
                meant.and_then(|sha256| Some((sha256, self.facts_of(&sha256)?)))
            else {
                return;
            };
            if let Some((element, told)) = facts.differs(attachment, place) {
                notes.push(note(path, element, told));
            } else {
                facts.promise(attachment, &sha256);
                claimed.push(sha256);
            }
        });
        claimed
    }
}

impl FileFacts {
    fn of(file: &TakenFile) -> Self {
        let content = &file.content;
        let mut hash = FileHash::default();
        hash.update(content);
        Self {
            size: content.len() as u64,
            sha1: hash.finish().1,
            content_type: ContentType::ALL
                .into_iter()
                .find(|content_type| is_of(*content_type, content)),
            names: Vec::new(),
        }
    }

    /// The same without what it is called.
    fn without_names(&self) -> Self {
        Self {
            size: self.size,
            sha1: self.sha1.clone(),
            content_type: self.content_type,
            names: Vec::new(),
        }
    }

    /// Whether such a file is stored beside records.
    fn is_stored(&self) -> bool {
        self.content_type.is_some() && (1..=MAX_FILE).contains(&self.size)
    }

    /// Why it cannot be what this attachment promises, and where that stands.
    fn differs(&self, attachment: &Json, place: usize) -> Option<(&'static str, &'static str)> {
        let text = |name: &str| attachment.get(name).and_then(Json::as_str);
        if place > MAX_ATTACHMENTS {
            return Some((
                "url",
                "files beside a record belong to the first 64 attachments of its document",
            ));
        }
        if self.content_type.is_none() {
            return Some((
                "contentType",
                "a file beside a record is application/pdf, image/png, image/jpeg, application/dicom or text/plain",
            ));
        }
        if !(1..=MAX_FILE).contains(&self.size) {
            return Some(("size", "a file beside a record has from 1 byte to 16 MiB"));
        }
        let declared = text("contentType");
        if declared.is_some_and(|declared| ContentType::of(declared) != self.content_type) {
            return Some((
                "contentType",
                "the file is not of the type that the document names",
            ));
        }
        let size = match attachment.get("size") {
            None => Some(self.size),
            Some(Json::Number(digits)) => digits.parse().ok(),
            Some(_) => None,
        };
        if size != Some(self.size) {
            return Some((
                "size",
                "the file is longer or shorter than the document says",
            ));
        }
        if text("hash").is_some_and(|hash| hash != self.sha1) {
            return Some(("hash", "the file has another SHA-1 than the document says"));
        }
        None
    }

    /// Has an attachment promise it, at an address that is replaced when the id of the record is known.
    fn promise(&self, attachment: &mut Json, sha256: &[u8; 32]) {
        if let (Json::Object(members), Some(content_type)) = (&mut *attachment, self.content_type)
            && members.iter().all(|(name, _)| name != "contentType")
        {
            let said = Json::String(content_type.as_str().to_owned());
            members.push(("contentType".to_owned(), said));
        }
        apart::promise(attachment, self.size, &digest::to_hex(sha256), &self.sha1);
        apart::relocate(attachment, &format!("Binary/{}-1", Uuid::nil()));
    }
}

/// The address of an attachment whose file is neither in it nor promised.
fn url_of(attachment: &Json) -> Option<&str> {
    let text = |name: &str| attachment.get(name).and_then(Json::as_str);
    let is_elsewhere = text("data").is_none() && sha256_of(attachment).is_none();
    text("url").filter(|url| is_elsewhere && origin::may_mean_file(url))
}

/// What is said of a file that came in a later window than a document that names it, and that this document does not get.
pub(crate) fn too_late() -> Issue {
    of_file(
        "a document of an earlier window names this file, and was stored without it: import the two again in one part",
    )
}

/// The same where the document does not get it because another file has its name.
pub(crate) fn ambiguous() -> Issue {
    of_file(
        "another file has the name by which a document of an earlier window looks for this one: it gets neither by this name",
    )
}

fn of_file(told: &str) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: IssueCode::BusinessRule,
        path: "Binary".to_owned(),
        rule: TOO_LATE.to_owned(),
        message: told.to_owned(),
    }
}

fn note(path: &str, element: &str, told: &str) -> Issue {
    Issue {
        severity: Severity::Warning,
        code: IssueCode::BusinessRule,
        path: format!("{path}.{element}"),
        rule: NOT_TAKEN.to_owned(),
        message: format!("{told}: the document goes on naming its address"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use vault::row::Content;

    use super::*;

    fn file(content: &[u8]) -> TakenFile {
        let sha256 = digest::of_document(content).0;
        TakenFile::new(Content::new(content.to_vec()), sha256)
    }

    fn attachment(members: &str) -> Json {
        decrypt::document(format!(r#"{{"url":"Binary/1"{members}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn an_address_means_the_file_of_its_name_and_none_where_two_have_it() {
        let mut named = NamedFiles::default();
        let (one, other) = (file(b"%PDF-1.7 one"), file(b"%PDF-1.7 other"));
        let addresses = ["http://h/Binary/1".to_owned(), "Binary/1".to_owned()];
        let scope = NameScope {
            named: None,
            full_url: Some("http://h/DiagnosticReport/7"),
            said: None,
        };
        let nowhere = NameScope::default();
        named.learn(&addresses, &one);
        named.learn(&addresses, &one);
        for url in ["Binary/1", "http://h/Binary/1/_history/3"] {
            assert_eq!(named.meant(url, scope), Some(one.sha256), "{url}");
        }
        assert_eq!(named.meant("http://b/Binary/1", scope), None);

        named.learn(&addresses[1..], &other);
        assert_eq!(named.meant("Binary/1", nowhere), None);
        assert_eq!(named.meant("Binary/1", scope), Some(one.sha256));
    }

    #[test]
    fn a_file_of_an_earlier_window_is_meant_where_none_of_the_same_window_is_called_so() {
        let mut named = NamedFiles::default();
        let (one, other) = (file(b"%PDF-1.7 one"), file(b"%PDF-1.7 other"));
        let scope = NameScope::default();
        let addresses = |id: u8| [format!("Binary/{id}")];
        let meant = |named: &NamedFiles, id: u8| named.meant(&format!("Binary/{id}"), scope);
        for id in [1, 2, 3] {
            named.learn(&addresses(id), &one);
        }
        named.learn(&addresses(3), &other);
        named.remember(&one);
        named.clear();

        assert_eq!(meant(&named, 1), Some(one.sha256));
        let facts = named.facts_of(&one.sha256);
        assert!(facts.is_some_and(FileFacts::is_stored));
        assert_eq!(meant(&named, 3), None, "two of the window were called so");
        // What comes in the window of a document goes before.
        named.learn(&addresses(1), &other);
        assert_eq!(meant(&named, 1), Some(other.sha256));
        assert_eq!(meant(&named, 2), Some(one.sha256));
        // Two of earlier windows mean neither.
        named.remember(&other);
        named.clear();
        assert_eq!(meant(&named, 1), None);
        assert_eq!(meant(&named, 2), Some(one.sha256));
        // So it is where there is no room for the second, unless it is the same file.
        for (file, expected) in [(&one, Some(one.sha256)), (&other, None)] {
            named.learn(&addresses(2), file);
            named.forget_shared_names(file);
            named.clear();
            assert_eq!(meant(&named, 2), expected);
        }
    }

    #[test]
    fn files_that_documents_claim_take_half_of_the_room_for_later_windows() {
        let mut named = NamedFiles::default();
        let facts = FileFacts::of(&file(b"%PDF-1.7 one"));
        for nth in 0..MAX_FILES {
            let is_first_half = nth < MAX_FILES / 2;
            assert!(named.has_room_behind(false));
            assert_eq!(named.has_room_behind(true), is_first_half);
            let mut sha256 = [0; 32];
            sha256[..8].copy_from_slice(&nth.to_be_bytes());
            named.earlier_files.insert(sha256, facts.without_names());
        }
        assert!(!named.has_room_behind(false));
    }

    #[test]
    fn what_two_late_files_are_called_is_told_of_the_second_where_it_is_awaited() {
        let (mut named, mut late) = (NamedFiles::default(), NamedFiles::default());
        let (one, other) = (file(b"%PDF-1.7 one"), file(b"%PDF-1.7 other"));
        let addresses =
            |server: &str| [format!("http://{server}/Binary/1"), "h/Binary/1".to_owned()];
        let awaited = named.hashes.of("http://a/Binary/1");
        named.awaited.insert(awaited);

        // Of two servers: nobody looks for the name that they share.
        late.learn(&named.awaited_of(&addresses("a")), &one);
        assert_eq!(named.awaited_of(&addresses("b")), Vec::<String>::new());
        assert!(late.is_claimable(&one) && !late.is_ambiguous(&one));

        late.learn(&named.awaited_of(&addresses("a")), &other);
        assert!(late.is_ambiguous(&one) && late.is_ambiguous(&other));
        assert!(!late.is_claimable(&one) && !late.is_claimable(&other));
    }

    #[test]
    fn an_attachment_promises_a_file_that_is_what_it_says_of_it() {
        let facts = FileFacts::of(&file(b"%PDF-1.7 one"));
        for (members, element) in [
            (r#","size":7"#, "size"),
            (r#","hash":"2jmj7l5rSw0yVb/vlWAYkK/YBwk=""#, "hash"),
            (r#","contentType":"image/png""#, "contentType"),
        ] {
            let differs = facts.differs(&attachment(members), 1);
            assert_eq!(differs.unwrap().0, element);
        }
        let mut says_less = attachment("");
        assert_eq!(
            facts.differs(&says_less, MAX_ATTACHMENTS + 1).unwrap().0,
            "url"
        );
        assert_eq!(facts.differs(&says_less, MAX_ATTACHMENTS), None);
        facts.promise(&mut says_less, &[7; 32]);
        let text = |name: &str| says_less.get(name).and_then(Json::as_str);
        assert_eq!(text("contentType"), Some("application/pdf"));
        assert_eq!(sha256_of(&says_less), Some("07".repeat(32).as_str()));
        assert_eq!(url_of(&says_less), None);
        assert!(!FileFacts::of(&file(b"\x00")).is_stored());
        assert!(!FileFacts::of(&file(b"")).is_stored());
    }
}
