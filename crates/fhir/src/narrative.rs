//! What the XHTML of a narrative may hold (R4, 2.4.0.1; invariants txt-1, txt-2).
//!
//! An allow-list, because the narrative ends up in somebody's browser: the
//! formatting of HTML 4.0 chapters 7–11 and 15, links and images; no scripts,
//! forms, frames, objects, events or styles that load something. The scanner
//! demands well-formed XML and reads no document type, so no entity expands.

/// What is wrong with a narrative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotWellFormed,
    NotADiv,
    NotAllowed,
    Unsafe,
    Empty,
}

impl Fault {
    /// The invariant that is broken.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Empty => "txt-2",
            Self::NotWellFormed | Self::NotADiv | Self::NotAllowed | Self::Unsafe => "txt-1",
        }
    }

    /// One sentence for a person.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::NotWellFormed => "the narrative is not well-formed XHTML",
            Self::NotADiv => "the narrative is one div of http://www.w3.org/1999/xhtml",
            Self::NotAllowed => {
                "the narrative has an element or attribute that FHIR does not allow"
            }
            Self::Unsafe => "the narrative has a link or style that could load or run something",
            Self::Empty => "the narrative says nothing",
        }
    }
}

const XHTML: &str = "http://www.w3.org/1999/xhtml";

const ELEMENTS: &str = "a abbr acronym address area b bdo big blockquote br caption cite code col \
    colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q samp small \
    span strong sub sup table tbody td tfoot th thead tr tt u ul var";

/// Attributes that every element may have.
const ATTRIBUTES: &str = "abbr accesskey align axis bgcolor char charoff class colspan dir headers \
    height id lang nowrap rowspan scope span style tabindex title valign width xml:lang xmlns";

/// Attributes of one element.
fn own_attributes(element: &str) -> &'static str {
    match element {
        "a" => "charset coords href hreflang name rel rev shape type",
        "area" => "alt coords href nohref shape",
        "blockquote" | "q" => "cite",
        "img" => "alt border ismap longdesc src usemap",
        "map" => "name",
        "ol" => "start type",
        "pre" => "space xml:space",
        "table" => "border cellpadding cellspacing frame rules summary",
        "ul" => "type",
        _ => "",
    }
}

fn lists(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|listed| listed == word)
}

/// Checks the value of `Narrative.div`.
pub(crate) fn check(div: &str) -> Result<(), Fault> {
    let mut scanner = Scanner {
        rest: div.trim(),
        open: Vec::new(),
        says_something: false,
    };
    let mut first = true;
    while !scanner.rest.is_empty() {
        if scanner.open.is_empty() && !first {
            return Err(Fault::NotADiv); // something after the end
        }
        if let Some(rest) = scanner.rest.strip_prefix("<!--") {
            let (_, after) = rest.split_once("-->").ok_or(Fault::NotWellFormed)?;
            scanner.rest = after;
            continue;
        }
        match scanner.rest.strip_prefix('<') {
            Some(rest) if rest.starts_with('/') => scanner.close()?,
            Some(_) => scanner.open(first)?,
            None if first => return Err(Fault::NotADiv),
            None => scanner.text()?,
        }
        first = false;
    }
    if first || !scanner.open.is_empty() {
        return Err(if first {
            Fault::NotADiv
        } else {
            Fault::NotWellFormed
        });
    }
    if scanner.says_something {
        Ok(())
    } else {
        Err(Fault::Empty)
    }
}

struct Scanner<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    says_something: bool,
}

impl<'a> Scanner<'a> {
    fn text(&mut self) -> Result<(), Fault> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        check_entities(text)?;
        self.says_something |= !text.trim().is_empty();
        self.rest = rest;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let (name, rest) = self.rest[2..].split_once('>').ok_or(Fault::NotWellFormed)?;
        if self.open.pop() != Some(name.trim_end()) {
            return Err(Fault::NotWellFormed);
        }
        self.rest = rest;
        Ok(())
    }

    fn open(&mut self, first: bool) -> Result<(), Fault> {
        self.rest = &self.rest[1..];
        let name = self.name()?;
        if first && name != "div" {
            return Err(Fault::NotADiv);
        }
        if !lists(ELEMENTS, name) {
            return Err(Fault::NotAllowed);
        }
        let mut attributes: Vec<&str> = Vec::new();
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_ascii_start();
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break;
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                self.open.push(name);
                break;
            }
            if self.rest.len() == before {
                return Err(Fault::NotWellFormed); // no space before the attribute
            }
            let attribute = self.attribute(name)?;
            if attributes.contains(&attribute) {
                return Err(Fault::NotWellFormed);
            }
            attributes.push(attribute);
        }
        if first && !attributes.contains(&"xmlns") {
            return Err(Fault::NotADiv);
        }
        self.says_something |= name == "img";
        Ok(())
    }

    fn attribute(&mut self, element: &str) -> Result<&'a str, Fault> {
        let name = self.name()?;
        let rest = self
            .rest
            .trim_ascii_start()
            .strip_prefix('=')
            .ok_or(Fault::NotWellFormed)?;
        let rest = rest.trim_ascii_start();
        let quote = rest
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or(Fault::NotWellFormed)?;
        let (value, rest) = rest[1..].split_once(quote).ok_or(Fault::NotWellFormed)?;
        self.rest = rest;
        if value.contains('<') {
            return Err(Fault::NotWellFormed);
        }
        check_entities(value)?;
        if !lists(ATTRIBUTES, name) && !lists(own_attributes(element), name) {
            return Err(Fault::NotAllowed);
        }
        let safe = match name {
            "href" | "cite" | "longdesc" | "usemap" => is_safe_link(value),
            "src" => is_safe_link(value) || is_picture(value),
            "style" => is_safe_style(value),
            "xmlns" => {
                return if value == XHTML {
                    Ok(name)
                } else {
                    Err(Fault::NotADiv)
                };
            }
            _ => true,
        };
        if safe { Ok(name) } else { Err(Fault::Unsafe) }
    }

    fn name(&mut self) -> Result<&'a str, Fault> {
        let part_of_name =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
        let end = self
            .rest
            .find(|c: char| !part_of_name(c))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            Ok(name)
        } else {
            Err(Fault::NotWellFormed)
        }
    }
}

/// Every `&` begins a character reference or the name of an entity of XHTML.
fn check_entities(text: &str) -> Result<(), Fault> {
    for after in text.split('&').skip(1) {
        let (entity, _) = after.split_once(';').ok_or(Fault::NotWellFormed)?;
        let good = match entity.strip_prefix('#') {
            Some(number) => match number.strip_prefix('x') {
                Some(hex) => !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
                None => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
            },
            None => !entity.is_empty() && entity.bytes().all(|b| b.is_ascii_alphanumeric()),
        };
        if !good {
            return Err(Fault::NotWellFormed);
        }
    }
    Ok(())
}

/// A relative link, or one of a scheme that runs nothing.
fn is_safe_link(link: &str) -> bool {
    match link.find([':', '/', '?', '#', '&']) {
        Some(at) if link.as_bytes()[at] == b':' => ["http", "https", "ftp", "mailto", "tel", "urn"]
            .iter()
            .any(|scheme| link[..at].eq_ignore_ascii_case(scheme)),
        // An entity could spell out a scheme.
        Some(at) => link.as_bytes()[at] != b'&',
        None => true,
    }
}

/// A picture in the link itself; HL7's own narratives have a space in it.
fn is_picture(link: &str) -> bool {
    link.strip_prefix("data:").is_some_and(|data| {
        ["image/png", "image/jpeg", "image/gif"]
            .iter()
            .any(|kind| data.trim_start().starts_with(kind))
    })
}

/// A style that runs nothing, loads at most a picture from where it lies itself,
/// and cannot hide what it does.
fn is_safe_style(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let dangers = [
        "expression",
        "import",
        "behavior",
        "binding",
        "script",
        "\\",
        "&",
        "/*",
    ];
    let local = |rest: &str| {
        let link = rest
            .split(')')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches(['"', '\'']);
        is_picture(link) || !link.contains([':', '&']) && !link.starts_with("//")
    };
    !dangers.iter().any(|danger| style.contains(danger)) && style.split("url(").skip(1).all(local)
}

#[cfg(test)]
#[path = "narrative_tests.rs"]
mod tests;
