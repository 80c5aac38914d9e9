//! What is accepted as a narrative, against a parser of XML and one of HTML.
//!
//! Narratives are made by chance, near the grammar and with attacks in them, the same in every run. One
//! that is accepted is well-formed XML, and HTML finds the same elements and attributes in it.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;
mod numbers;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fhir::{RecordType, check, validate};
use numbers::Numbers;
use serde_json::{Value, json};

const ROUNDS: usize = 30_000;

/// Elements of the allow-list, and some that are not on it.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "b",
    "big",
    "blockquote",
    "br",
    "caption",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "hr",
    "i",
    "img",
    "ins",
    "li",
    "map",
    "ol",
    "p",
    "pre",
    "q",
    "small",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "script",
    "svg",
    "math",
    "style",
    "title",
    "textarea",
    "form",
    "button",
    "select",
    "nobr",
    "font",
    "image",
    "body",
];

const ATTRIBUTES: &[&str] = &[
    "class=\"a\"",
    "id='b'",
    "title=\"a > b &amp; c &quot;\"",
    "title='\" onclick=\"a()'",
    "style=\"color: rgb(1, 2, 3)\"",
    "style=\"background: url(data:image/png;base64,AAAA)\"",
    "style=\"background: url(https://a.example)\"",
    "style=\"background: url(a.png)\"",
    "style=\"background: image-set('https://a.example' 1x)\"",
    "href=\"https://a.example\"",
    "href=\"#b\"",
    "href=\"javascript:a()\"",
    "href=\"java&#115;cript:a()\"",
    "href=\"java\tscript:a()\"",
    "href=\"&#1;javascript:a()\"",
    "href=\"data:text/html,a\"",
    "src=\"#b\"",
    "src=\"data:image/gif;base64,AAAA\"",
    "src=\"data:image/svg+xml,a\"",
    "src=\"https://a.example\"",
    "src=\"//a.example\"",
    "src=\"a.png\"",
    "onerror=\"a()\"",
    "ONCLICK=\"a()\"",
    "xml:lang = \"en\"",
    "name=\"c\"",
    "colspan=\"2\"",
    "a",
    "b=c",
];

const TEXTS: &[&str] = &[
    "text",
    " ",
    "\n",
    "a &lt;script&gt; b",
    "&nbsp;",
    "&eacute;",
    "&apos;",
    "&#160;",
    "&#x1F600;",
    "é",
    "x > y",
    "]]&gt;",
];

/// What makes the two kinds of parsers disagree, or what one of them refuses.
const ATTACKS: &[&str] = &[
    "<!-->",
    "-->",
    "<!--",
    "--!>",
    "<!--->",
    "<!-- a -- b -->",
    "<!-- a -->",
    "<![CDATA[",
    "]]>",
    "<?a",
    "?>",
    "<!DOCTYPE a>",
    "&nosuch;",
    "&amp",
    "&",
    "&#0;",
    "&#128;",
    "&#xD800;",
    "&#x110000;",
    "\u{0}",
    "\u{C}",
    "\u{A0}",
    "\u{FFFE}",
    "<",
    ">",
    "/",
    "\"",
    "'",
    "=",
    "<b/>",
    "<a/>",
    "<table/>",
    "</p>",
    "</br>",
    "<br>",
    "<p>",
    "</div>",
    "<div>",
    "<img src=\"x\" onerror=\"a()\"/>",
    "<script>a()</script>",
    "<svg onload=\"a()\"/>",
    "<style>",
    "<title>",
    "<textarea>",
    "<noscript>",
    "<plaintext>",
    "`",
    "\\",
    "javascript:",
    "xmlns=\"a\" ",
    "xlink:href=\"a\" ",
];

fn pick<'a>(numbers: &mut Numbers, of: &[&'a str]) -> &'a str {
    of[numbers.below(of.len())]
}

/// What stands in an element, so that a good part of what is made is accepted.
fn content(parent: &str) -> &'static [&'static str] {
    match parent {
        "table" => &["tr", "tbody", "caption", "thead", "col"],
        "tbody" | "thead" | "tfoot" => &["tr"],
        "tr" => &["td", "th"],
        "colgroup" => &["col"],
        "b" | "i" | "em" | "a" | "code" | "strong" => &["span", "br", "img", "i", "abbr", "b"],
        _ => &[
            "p", "b", "a", "table", "div", "span", "br", "ul", "img", "hr", "h1", "pre",
        ],
    }
}

fn element(numbers: &mut Numbers, parent: &str, depth: usize, out: &mut String) {
    let name = if numbers.below(12) == 0 {
        pick(numbers, ELEMENTS)
    } else {
        pick(numbers, content(parent))
    };
    write!(out, "<{name}").unwrap();
    while numbers.below(3) == 0 {
        let fitting: &[&str] = match name {
            "img" => &["src=\"#b\"", "alt=\"a\""],
            "a" => &["href=\"#b\"", "name='c'"],
            _ => &["class=\"a\"", "id='b'", "style=\"color: red\""],
        };
        let attribute = if numbers.below(4) == 0 {
            pick(numbers, ATTRIBUTES)
        } else {
            pick(numbers, fitting)
        };
        write!(out, " {attribute}").unwrap();
    }
    let is_void = ["br", "img", "hr", "col"].contains(&name);
    if is_void || numbers.below(10) == 0 {
        out.push_str("/>");
        return;
    }
    out.push('>');
    if depth > 0 {
        children(numbers, name, depth - 1, out);
    }
    write!(out, "</{name}>").unwrap();
}

fn children(numbers: &mut Numbers, parent: &str, depth: usize, out: &mut String) {
    let only_elements = ["table", "tbody", "thead", "tfoot", "tr", "colgroup"].contains(&parent);
    for _ in 0..numbers.below(4) {
        if numbers.below(2) == 0 {
            element(numbers, parent, depth, out);
        } else if !only_elements || numbers.below(10) == 0 {
            out.push_str(pick(numbers, TEXTS));
        }
    }
}

fn narrative(numbers: &mut Numbers) -> String {
    let mut div = "<div xmlns=\"http://www.w3.org/1999/xhtml\">a".to_owned();
    children(numbers, "div", 5, &mut div);
    div.push_str("</div>");
    while numbers.below(2) == 0 {
        let places: Vec<usize> = div.char_indices().map(|(at, _)| at).collect();
        let at = places[numbers.below(places.len())];
        div.insert_str(at, pick(numbers, ATTACKS));
    }
    div
}

type Elements = Vec<(String, BTreeMap<String, String>)>;

/// XML turns white space in values into spaces, HTML does not.
fn value(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\t', '\r', '\n'], " ")
}

/// The elements of the XML, in the order of the document.
fn as_xml(div: &str) -> Elements {
    let names = [("nbsp", 160), ("eacute", 233)];
    let entities = names.map(|(name, number)| format!("<!ENTITY {name} \"&#{number};\">"));
    let text = format!("<!DOCTYPE div [{}]>{div}", entities.concat());
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..roxmltree::ParsingOptions::default()
    };
    let tree = roxmltree::Document::parse_with_options(&text, options)
        .unwrap_or_else(|why| unreachable!("accepted, but not well-formed: {why}\n{div}"));
    let elements = tree.descendants().filter(roxmltree::Node::is_element);
    elements
        .map(|element| {
            let attributes = element.attributes().map(|attribute| {
                let prefix = if attribute.namespace().is_some() {
                    "xml:"
                } else {
                    ""
                };
                (
                    format!("{prefix}{}", attribute.name()),
                    value(attribute.value()),
                )
            });
            (element.tag_name().name().to_owned(), attributes.collect())
        })
        .collect()
}

/// The elements of the HTML without those that it adds by itself, which have no attributes.
fn as_html(div: &str) -> Elements {
    let tree = scraper::Html::parse_fragment(div);
    let elements = tree.root_element().descendent_elements().skip(1);
    elements
        .map(|element| {
            let attributes = element.value().attrs().filter(|(name, _)| *name != "xmlns");
            let attributes = attributes.map(|(name, text)| (name.to_owned(), value(text)));
            (element.value().name().to_owned(), attributes.collect())
        })
        .collect()
}

/// Without the plain elements that HTML adds: the body of a table, a group of columns, a paragraph
/// where one ends that was closed already.
fn without_implied(elements: Elements) -> Elements {
    let implied = |(name, attributes): &(String, BTreeMap<String, String>)| {
        ["tbody", "colgroup", "p"].contains(&name.as_str()) && attributes.is_empty()
    };
    elements.into_iter().filter(|it| !implied(it)).collect()
}

/// As a browser takes a link: without controls and leading spaces, in lower case.
fn link(text: &str) -> String {
    text.chars()
        .filter(|c| *c > ' ')
        .collect::<String>()
        .to_ascii_lowercase()
}

/// What in HTML runs or loads anything: nothing of this may be in an accepted narrative.
fn harm(elements: &Elements) -> Option<String> {
    const KNOWN: &str = "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup \
        dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q samp small span strong \
        sub sup table tbody td tfoot th thead tr tt u ul var";
    elements.iter().find_map(|(name, attributes)| {
        let known = KNOWN.split(' ').any(|known| known == name);
        let harmful = attributes.iter().any(|(attribute, text)| {
            let text = link(text);
            match attribute.as_str() {
                "href" | "cite" | "longdesc" => {
                    text.starts_with("javascript:")
                        || text.starts_with("data:")
                        || text.starts_with("vbscript:")
                }
                "src" => !text.starts_with('#') && !text.starts_with("data:image/"),
                "style" => {
                    text.replace("url(data:image/", "").contains("url(")
                        || text.contains("image-set")
                }
                other => {
                    other.starts_with("on")
                        || ["srcset", "srcdoc", "action", "formaction"].contains(&other)
                }
            }
        });
        (!known || harmful).then(|| format!("{name} {attributes:?}"))
    })
}

#[test]
fn an_accepted_narrative_is_the_same_to_xml_and_to_html_and_runs_and_loads_nothing() {
    let mut numbers = Numbers(3);
    let (mut accepted, mut with_markup) = (0, 0);
    for round in 0..ROUNDS {
        let div = narrative(&mut numbers);
        let text = json!({"text": {"status": "generated", "div": div}});
        if !refused(&heart_rate(&text)).is_empty() {
            continue;
        }
        accepted += 1;
        let (xml, html) = (as_xml(&div), as_html(&div));
        with_markup += usize::from(xml.len() > 3);
        assert_eq!(harm(&html), None, "round {round}: {div}");
        assert_eq!(
            without_implied(html),
            without_implied(xml),
            "round {round}: {div}"
        );
    }
    assert!(accepted > ROUNDS / 10, "only {accepted} were accepted");
    assert!(
        with_markup > ROUNDS / 40,
        "only {with_markup} held something"
    );
}

#[test]
fn what_hl7_publishes_as_narratives_is_the_same_to_xml_and_to_html() {
    for (record_type, text) in documents::all() {
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut left = vec![&document];
        while let Some(json) = left.pop() {
            match json {
                Value::Array(items) => left.extend(items),
                Value::Object(members) => {
                    if let Some(div) = members.get("div").and_then(Value::as_str) {
                        assert_eq!(
                            without_implied(as_html(div)),
                            without_implied(as_xml(div)),
                            "{record_type:?}"
                        );
                    }
                    left.extend(members.values());
                }
                _ => {}
            }
        }
    }
}

/// The document with a narrative, text or link in it, and the rule that refuses it.
fn refused(document: &Value) -> Vec<String> {
    let issues = check(&documents::tree(document), RecordType::VitalSigns).err();
    issues
        .unwrap_or_default()
        .into_iter()
        .map(|issue| issue.rule)
        .collect()
}

fn heart_rate(more: &Value) -> Value {
    let mut document = json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "vital-signs",
        }]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
        "effectiveDateTime": "2026-03-01",
        "valueQuantity": {"value": 61, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    });
    let members = more.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(members);
    document
}

fn text(inner: &str) -> Value {
    json!({
        "status": "generated",
        "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>"),
    })
}

#[test]
fn narratives_of_contained_resources_and_of_sections_are_held_to_the_same() {
    let attack = text("ok<!--><img src=\"x\" onerror=\"alert(1)\"/>-->");
    assert_eq!(refused(&heart_rate(&json!({"text": attack}))), ["txt-1"]);
    let contained = json!({
        "contained": [{"resourceType": "Practitioner", "id": "p", "text": attack}],
        "performer": [{"reference": "#p"}],
    });
    assert_eq!(refused(&heart_rate(&contained)), ["txt-1"]);
    let composition = json!({
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "History"},
        "date": "2026-03-01",
        "author": [{"display": "Dr Example"}],
        "title": "History",
        "section": [{"title": "a", "section": [{"title": "b", "text": attack}]}],
    });
    let issues = check(&documents::tree(&composition), RecordType::MedicalHistory).unwrap_err();
    let found: Vec<_> = issues
        .iter()
        .map(|it| (it.rule.as_str(), it.path.as_str()))
        .collect();
    assert_eq!(
        found,
        [("txt-1", "Composition.section[0].section[0].text.div")]
    );
}

#[test]
fn a_picture_may_be_contained_or_in_its_link_but_not_elsewhere() {
    let picture = json!([{"resourceType": "Binary", "id": "i", "contentType": "image/png", "data": "iVBORw0KGgo="}]);
    let shown = text("<img src=\"#i\" alt=\"x\"/>");
    assert_eq!(
        refused(&heart_rate(&json!({"text": shown, "contained": picture}))),
        [""; 0]
    );
    let unseen = json!({"text": text("a"), "contained": picture});
    assert_eq!(refused(&heart_rate(&unseen)), ["dom-3"]);
    let elsewhere = heart_rate(&json!({"text": text("<img src=\"https://a.example/b.png\"/>")}));
    assert_eq!(refused(&elsewhere), ["narrative-outside"]);
    // R4 allows it.
    assert_eq!(validate::base(&documents::tree(&elsewhere)), []);
}

#[test]
fn links_that_run_something_are_refused_wherever_they_stand() {
    for more in [
        json!({"note": [{"text": "a <img src=x onerror=alert(1)> b"}]}),
        json!({"note": [{"text": "[a](javascript:alert(1))"}]}),
        json!({"performer": [{"reference": "javascript:alert(1)"}]}),
        json!({"identifier": [{"system": "javascript:alert(1)", "value": "1"}]}),
        json!({"extension": [{"url": "http://a.example", "valueUrl": "JavaScript:alert(1)"}]}),
        json!({"extension": [{
            "url": "http://a.example",
            "valueAttachment": {"url": "data:text/html,<script>alert(1)</script>"},
        }]}),
    ] {
        assert_eq!(refused(&heart_rate(&more)), ["active-content"], "{more}");
    }
    let harmless =
        json!({"note": [{"text": "Hb <12, **rising** <br/> see [a](https://a.example)"}]});
    assert_eq!(refused(&heart_rate(&harmless)), [""; 0]);
}

#[test]
fn two_contained_resources_of_one_id_are_refused() {
    let twice = json!({
        "contained": [
            {"resourceType": "Practitioner", "id": "p"},
            {"resourceType": "Organization", "id": "p", "name": "x"},
        ],
        "performer": [{"reference": "#p"}],
    });
    assert_eq!(refused(&heart_rate(&twice)), ["contained-id"]);
}
