//! Markup in texts that are no narratives: links that run something, and HTML in markdown.
//!
//! R4 allows both, and whoever shows a record should escape and sanitise. A record stays for decades and
//! is shown by programs that nobody has written yet, so neither is stored.

/// Elements that run, load or take something where markdown is shown as HTML.
const ACTIVE: &str = "applet audio base button embed form frame frameset iframe img input link math meta \
    noembed noframes noscript object plaintext script select source style svg template textarea title \
    track video xmp";

/// Whether following this link would run something: a script, or a document of its own.
///
/// As browsers read it: whatever its case, and whatever control characters are in it.
pub(crate) fn runs(link: &str) -> bool {
    let link = link.trim_start_matches(|c: char| c <= ' ');
    let plain = |c: &char| !matches!(c, '\t' | '\r' | '\n');
    let start: String = link.chars().filter(plain).take(64).collect();
    let start = start.to_ascii_lowercase();
    let Some((scheme, rest)) = start.split_once(':') else {
        return false;
    };
    match scheme {
        "javascript" | "vbscript" => true,
        "data" => {
            let media_type = rest.split([';', ',']).next().unwrap_or_default();
            ["html", "xml", "svg", "script"]
                .iter()
                .any(|active| media_type.contains(active))
        }
        _ => false,
    }
}

/// Whether markdown carries HTML or a link that runs something.
pub(crate) fn is_active(markdown: &str) -> bool {
    let mut parts = markdown.split('<');
    let links_run = |text: &str| text.split('(').skip(1).any(runs);
    if parts.next().is_some_and(links_run) {
        return true;
    }
    parts.any(|after| is_active_tag(after) || links_run(after))
}

/// Attributes as `name=value`: they may be written `name = value`.
fn without_spaces(attributes: &str) -> String {
    let mut joined = attributes.to_owned();
    for (spaced, tight) in [(" =", "="), ("= ", "=")] {
        while joined.contains(spaced) {
            joined = joined.replace(spaced, tight);
        }
    }
    joined
}

/// Whether what follows a `<` is the tag of an element that does something, or an autolink that does.
fn is_active_tag(after: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_');
    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return false; // `<3`, `< 4`, `</p>`
    }
    let name = name.to_ascii_lowercase();
    let Some((attributes, _)) = rest.split_once('>') else {
        return false;
    };
    let handles_event = |attribute: &str| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim_start_matches(['"', '\'']);
        (name.to_ascii_lowercase().starts_with("on") && attribute.contains('=')) || runs(value)
    };
    let joined = without_spaces(attributes);
    ACTIVE.split_ascii_whitespace().any(|active| active == name)
        || runs(after)
        || joined
            .split(|c: char| c.is_ascii_whitespace() || c == '/' || c == '"' || c == '\'')
            .any(handles_event)
        || joined
            .split('=')
            .skip(1)
            .any(|value| runs(value.trim_start_matches(['"', '\''])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_runs_something_is_known_however_it_is_spelt() {
        for bad in [
            "javascript:a()",
            " JavaScript:a()",
            "java\nscript:a()",
            "\u{1}vbscript:a",
            "data:text/html,a",
            "data:image/svg+xml;base64,AAAA",
            "data:application/xhtml+xml,a",
        ] {
            assert!(runs(bad), "{bad:?}");
        }
        for good in [
            "https://a.example/javascript:a",
            "javascript",
            "data:image/png;base64,AAAA",
            "data:application/pdf;base64,AAAA",
            "urn:oid:1.2",
            "tel:1",
            "",
        ] {
            assert!(!runs(good), "{good:?}");
        }
    }

    #[test]
    fn markdown_may_compare_and_format_but_not_run_or_load() {
        for bad in [
            "a <script>b</script>",
            "<IMG src=x onerror=a()>",
            "<x onfocus = \"a()\" autofocus tabindex=1>",
            "<svg/onload=a()>",
            "[a](javascript:b)",
            "[a]( JavaScript:b)",
            "<a href=\"javascript:b\">c</a>",
            "<a href=javascript:b>c</a>",
            "<javascript:b>",
            "<iframe src=\"https://a.example\"></iframe>",
        ] {
            assert!(is_active(bad), "{bad}");
        }
        for good in [
            "Hb <12, pH < 7.3, ferritin <lower limit = 15 and TSH >4",
            "**a** <br/> <b>b</b> (see https://a.example)",
            "<https://a.example/?on=1>",
            "[a](https://a.example)",
            "a <normal> b",
            "once = 1 <a",
        ] {
            assert!(!is_active(good), "{good}");
        }
    }
}
