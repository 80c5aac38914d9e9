#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use super::*;

const LIMIT: usize = 40;

/// What an upload comes to, fed in pieces of this size.
fn cuts_of(mut cutter: Cutter, upload: &[u8], piece: usize) -> (Vec<String>, Option<Broken>) {
    let mut cuts = Vec::new();
    let mut tell = |cut: Cut| match cut {
        Cut::Entry(bytes) => cuts.push(String::from_utf8_lossy(&bytes).into_owned()),
        Cut::TooLong => cuts.push("(too long)".to_owned()),
    };
    let mut broken = None;
    'upload: for mut piece in upload.chunks(piece) {
        while !piece.is_empty() {
            match cutter.next(&mut piece) {
                Ok(Some(cut)) => tell(cut),
                Ok(None) => assert!(piece.is_empty(), "nothing is left over"),
                Err(error) => {
                    broken = Some(error);
                    break 'upload;
                }
            }
        }
    }
    if broken.is_none() {
        match cutter.end() {
            Ok(last) => last.into_iter().for_each(&mut tell),
            Err(error) => broken = Some(error),
        }
    }
    (cuts, broken)
}

/// However the network cuts it, it comes to the same.
fn all_alike(cutter: impl Fn() -> Cutter, upload: &str) -> (Vec<String>, Option<Broken>) {
    let upload = upload.as_bytes();
    let whole = cuts_of(cutter(), upload, upload.len().max(1));
    for piece in 1..=upload.len().min(70) {
        assert_eq!(
            cuts_of(cutter(), upload, piece),
            whole,
            "in pieces of {piece}"
        );
    }
    whole
}

#[test]
fn lines_are_cut_at_their_ends_and_keep_their_numbers() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LIMIT));
    let cases: [(String, &[&str]); 7] = [
        (String::new(), &[]),
        ("{}\n[]\n".to_owned(), &["{}", "[]"]),
        ("{}\r\n[]".to_owned(), &["{}\r", "[]"]),
        ("\n\n{}\n".to_owned(), &["", "", "{}"]),
        (format!("{long}\n{{}}\n"), &["(too long)", "{}"]),
        (format!("{{}}\n{long}"), &["{}", "(too long)"]),
        // What a line says is not looked at.
        ("\"{\n\"}\n".to_owned(), &["\"{", "\"}"]),
    ];
    for (upload, expected) in cases {
        let (cuts, broken) = all_alike(|| Cutter::lines(LIMIT), &upload);
        assert_eq!(
            (cuts, broken),
            (expected.iter().map(ToString::to_string).collect(), None)
        );
    }
}

#[test]
fn a_byte_order_mark_at_the_head_belongs_to_no_entry() {
    let mark = "\u{feff}";
    let bundle = r#"{"resourceType":"Bundle","type":"batch","entry":[{"a":1}]}"#;
    for upload in ["", "{}", "\n{}\n[]", "\u{fefe}{}", "{\"a\":\"\u{feff}\"}\n"] {
        let marked = format!("{mark}{upload}");
        let plain = all_alike(|| Cutter::lines(LIMIT), upload);
        assert_eq!(
            all_alike(|| Cutter::lines(LIMIT), &marked),
            plain,
            "{upload}"
        );
    }
    let plain = all_alike(|| Cutter::bundle(LIMIT), bundle);
    let marked = format!("{mark}{bundle}");
    assert_eq!(all_alike(|| Cutter::bundle(LIMIT), &marked), plain);

    // One alone, at the head alone: a second one, and one in another place, are what they are.
    let (cuts, _) = all_alike(|| Cutter::lines(LIMIT), &format!("{mark}{mark}1\n{mark}2"));
    assert_eq!(cuts, [format!("{mark}1"), format!("{mark}2")]);
    let twice = format!("{mark}{mark}{bundle}");
    let (_, broken) = all_alike(|| Cutter::bundle(LIMIT), &twice);
    assert_eq!(broken, Some(Broken::NotABundle));
    // What only begins like one is not lost.
    for start in [b"\xef".as_slice(), b"\xef\xbb", b"\xef\xbbx\n"] {
        let (cuts, _) = cuts_of(Cutter::lines(LIMIT), start, 1);
        let text = String::from_utf8_lossy(start);
        assert_eq!(cuts, [text.trim_end()]);
    }
}

#[test]
fn a_bundle_is_cut_into_its_entries() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LIMIT));
    let of = |entries: &str| {
        format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries}]}}"#)
    };
    let cases: [(String, &[&str]); 11] = [
        (r#"{"resourceType":"Bundle","type":"collection"}"#.to_owned(), &[]),
        (of(""), &[]),
        (of(r#"{"a":1},{"b":[2,{"c":"]}"}]}"#), &[r#"{"a":1}"#, r#"{"b":[2,{"c":"]}"}]}"#]),
        (of(r#" {"a":"\"}"} , {"b":"\\"}"#), &[r#"{"a":"\"}"}"#, r#"{"b":"\\"}"#]),
        (of(&format!("{{}},{long},{{}}")), &["{}", "(too long)", "{}"]),
        // No objects: the reader's to refuse, one by one.
        (of(r#"1,"a",null,[],{}"#), &["1", "\"a\"", "null", "[]", "{}"]),
        // Neither: brackets that do not fit each other are told of that entry alone.
        (of(r#"{"a":[}},{}"#), &[r#"{"a":[}}"#, "{}"]),
        (
            r#" {"id":"x", "meta":{"tag":[{"code":"entry"}]},"resourceType" : "Bundle","type":"searchset",
               "total":3,"link":[{"relation":"self"}],"entry":[{"x":1}] ,"signature":{"data":"]}"} } "#
                .to_owned(),
            &[r#"{"x":1}"#],
        ),
        (
            r#"{"type":"collection","resourceType":"Bundle","entry":[{}]}"#.to_owned(),
            &["{}"],
        ),
        (
            r#"{"entry":[{"a":1}],"type":"transaction","resourceType":"Bundle"}"#.to_owned(),
            &[r#"{"a":1}"#],
        ),
        (
            r#"{"type":"document","entry":[{}],"resourceType":"Bundle"}"#.to_owned(),
            &["{}"],
        ),
    ];
    for (upload, expected) in cases {
        let (cuts, broken) = all_alike(|| Cutter::bundle(LIMIT), &upload);
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!((cuts, broken), (expected, None), "{upload}");
    }
}

#[test]
fn what_is_no_bundle_of_entries_one_by_one_is_refused_by_its_reason() {
    let head = r#"{"resourceType":"Bundle","type":"collection""#;
    let at = |offset| Broken::Json { offset };
    let cases = [
        ("", 0, Broken::TooEarly),
        ("[]", 0, Broken::NotABundle),
        ("\u{feff}{}", 0, Broken::NotABundle),
        ("{}", 0, Broken::NotABundle),
        (
            r#"{"resourceType":"Observation","entry":[{}]}"#,
            0,
            Broken::NotABundle,
        ),
        (r#"{"resourceType":7}"#, 0, Broken::NotABundle),
        (r#"{"resourceType":"Bundle"}"#, 0, Broken::Type),
        (r#"{"resourceType":"Bundle","entry":[{}]}"#, 1, Broken::Type),
        (
            r#"{"type":"collection","entry":[{}]}"#,
            1,
            Broken::NotABundle,
        ),
        (
            r#"{"entry":[{},{}],"resourceType":"List"}"#,
            2,
            Broken::NotABundle,
        ),
        (
            r#"{"resourceType":"Bundle","type":"subscription-notification","entry":[{}]}"#,
            0,
            Broken::Type,
        ),
        (
            r#"{"resourceType":"Bundle","type":"batch-response","entry":[{}]}"#,
            0,
            Broken::Type,
        ),
        (r#"{"resourceType":"Bundle","type":null}"#, 0, Broken::Type),
        (
            r#"{"resourceType":"Bundle","resourceType":"Bundle"}"#,
            0,
            Broken::Twice,
        ),
        (&format!(r#"{head},"type":"batch"}}"#), 0, Broken::Twice),
        (
            &format!(r#"{head},"entry":[{{}}],"implicitRules":"http://x.example/rules"}}"#),
            1,
            Broken::Rules,
        ),
        (
            &format!(r#"{head},"entry":[{{}}],"entry":[]}}"#),
            1,
            Broken::Twice,
        ),
        // An entry in disguise.
        (&format!(r#"{head},"\u0065ntry":[{{}}]}}"#), 0, at(46)),
        (&format!(r#"{head},"entry":{{}}}}"#), 0, at(53)),
        (&format!(r#"{head},"entry":[{{}} {{}}]}}"#), 1, at(57)),
        (&format!(r#"{head},"entry":[{{}},]}}"#), 1, at(57)),
        (&format!(r#"{head},"entry":[{{}}]}} {{}}"#), 1, at(59)),
        (&format!(r#"{head},"entry":[{{}}"#), 1, Broken::TooEarly),
        (&format!(r#"{head},"entry":[{{"a":"#), 0, Broken::TooEarly),
        (head, 0, Broken::TooEarly),
    ];
    for (upload, before, expected) in cases {
        let (cuts, broken) = all_alike(|| Cutter::bundle(LIMIT), upload);
        assert_eq!((cuts.len(), broken), (before, Some(expected)), "{upload}");
    }
}

#[test]
fn an_entry_gives_its_resource_if_it_is_to_be_stored_as_something_new() {
    let read = |text: &str| crate::reader::read(text.as_bytes()).unwrap();
    let resource = |entry: &str| resource_of(read(entry)).map_err(|issues| issues[0].path.clone());

    let found = Ok(read("{\"resourceType\":\"Goal\"}"));
    let entry = r#""fullUrl":"urn:uuid:1","resource":{"resourceType":"Goal"}"#;
    assert_eq!(resource(&format!("{{{entry}}}")), found);
    assert_eq!(
        resource(&format!(
            r#"{{{entry},"request":{{"method":"POST","url":"Goal"}}}}"#
        )),
        found
    );
    let put = format!(r#"{{{entry},"request":{{"method":"PUT","url":"Goal/1"}}}}"#);
    assert_eq!(resource(&put), found);
    let method = Err("Bundle.entry.request.method".to_owned());
    for other in [r#"{"method":"PATCH"}"#, r#"{"method":"DELETE"}"#, "{}", "1"] {
        assert_eq!(
            resource(&format!(r#"{{{entry},"request":{other}}}"#)),
            method,
            "{other}"
        );
    }
    let modifier =
        r#""modifierExtension":[{"url":"http://x.example/negated","valueBoolean":true}]"#;
    for modified in [
        format!("{{{entry},{modifier}}}"),
        format!(r#"{{{entry},"request":{{"method":"POST","url":"Goal",{modifier}}}}}"#),
        format!(r#"{{{entry},"response":{{"status":"200",{modifier}}}}}"#),
    ] {
        let told = Err("Bundle.entry.modifierExtension".to_owned());
        assert_eq!(resource(&modified), told, "{modified}");
    }
    assert_eq!(resource("{}"), Err("Bundle.entry.resource".to_owned()));
    assert_eq!(resource("[]"), Err("Bundle.entry".to_owned()));
}

#[test]
fn an_entry_of_a_history_says_which_version_it_holds_where_its_resource_does_not() {
    let read = |text: &str| crate::reader::read(text.as_bytes()).unwrap();
    let response =
        r#""response":{"status":"200","etag":"W/\"3\"","lastModified":"2026-03-04T10:00:00Z"}"#;
    let broken = r#""response":{"status":"200","etag":"\"a b\"","lastModified":"2026-03"}"#;
    let said = r#"{"resourceType":"Goal","meta":{"versionId":"2"}}"#;
    for (resource, response, expected) in [
        (
            r#"{"resourceType":"Goal"}"#,
            response,
            r#"{"resourceType":"Goal","meta":{"versionId":"3","lastUpdated":"2026-03-04T10:00:00Z"}}"#,
        ),
        (
            said,
            response,
            r#"{"resourceType":"Goal","meta":{"versionId":"2","lastUpdated":"2026-03-04T10:00:00Z"}}"#,
        ),
        (said, broken, said),
        (
            r#"{"resourceType":"Goal"}"#,
            broken,
            r#"{"resourceType":"Goal"}"#,
        ),
    ] {
        let entry = format!(r#"{{"resource":{resource},{response}}}"#);
        assert_eq!(resource_of(read(&entry)), Ok(read(expected)), "{entry}");
    }
}

#[test]
fn a_deletion_says_of_which_kind_and_nothing_else_is_one() {
    let read = |text: &str| crate::reader::read(text.as_bytes()).unwrap();
    for (request, expected) in [
        (r#"{"method":"DELETE","url":"Goal/1"}"#, Some("Goal")),
        (
            r#"{"method":"DELETE","url":"http://h/fhir/Goal/1"}"#,
            Some("Goal"),
        ),
        (r#"{"method":"DELETE"}"#, Some("")),
        (r#"{"method":"PUT","url":"Goal/1"}"#, None),
        ("1", None),
    ] {
        let deletion = deleted(&read(&format!(r#"{{"request":{request}}}"#)));
        let kind = deletion
            .as_ref()
            .and_then(|it| it.get("resourceType")?.as_str());
        assert_eq!(kind, expected, "{request}");
    }
    assert_eq!(
        deleted(&read(r#"{"resource":{"resourceType":"Goal"}}"#)),
        None
    );
}

#[test]
fn what_is_taken_of_an_entry_counts_towards_its_limit_and_the_cut_is_the_rest() {
    let mut cutter = Cutter::lines(10);
    let mut cut = |input: &[u8], taken: Option<&[u8]>| {
        let mut rest = input;
        let cut = cutter.next(&mut rest).unwrap();
        assert_eq!(cutter.take(4).as_deref(), taken);
        cut
    };
    assert_eq!(cut(b"123", None), None, "too little to be taken");
    assert_eq!(cut(b"4567", Some(b"1234567")), None);
    assert_eq!(cut(b"890\n", None), Some(Cut::Entry(b"890".to_vec())));
    assert_eq!(cut(b"12345678", Some(b"12345678")), None);
    assert_eq!(cut(b"901", None), None);
    assert_eq!(cut(b"\n", None), Some(Cut::TooLong));
    assert_eq!(cut(b"1234", Some(b"1234")), None);
    let last = cutter.end().unwrap();
    assert_eq!(last, Some(Cut::Entry(Vec::new())), "its end is empty");
    assert_eq!(cutter.end().unwrap(), None);
}
