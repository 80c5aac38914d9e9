//! What the XHTML of a narrative may hold (R4, 2.4.0.1; invariants txt-1, txt-2).
//!
//! An allow-list, because the narrative ends up in somebody's browser: the
//! formatting of HTML 4.0 chapters 7–11 and 15, links and images; no scripts,
//! forms, frames, objects, events or styles that load something.
//!
//! The text is XML, and browsers read it as HTML. Both must find the same elements:
//! what they read differently is refused even where XML allows it. That is every
//! markup that is neither a tag nor text (`<!-->` ends a comment of HTML and begins
//! one of XML), and every place where an HTML parser would repeat, move or drop an
//! element. `tests/narrative.rs` compares what both make of accepted narratives.

/// What is wrong with a narrative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotWellFormed,
    /// A comment, a CDATA section, a processing instruction or a document type.
    OtherMarkup,
    NotADiv,
    NotAllowed,
    /// An element where HTML does not leave it.
    Misplaced,
    Unsafe,
    Empty,
    /// R4 allows pictures from elsewhere. Whoever serves one learns who reads the
    /// record, and when.
    LoadsFromOutside,
}

impl Fault {
    /// The invariant that is broken.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Empty => "txt-2",
            Self::NotWellFormed
            | Self::OtherMarkup
            | Self::NotADiv
            | Self::NotAllowed
            | Self::Misplaced
            | Self::Unsafe => "txt-1",
            Self::LoadsFromOutside => "narrative-outside",
        }
    }

    /// One sentence for a person.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::NotWellFormed => "the narrative is not well-formed XHTML",
            Self::OtherMarkup => {
                "the narrative has a comment, a CDATA section, an instruction or a document type"
            }
            Self::NotADiv => "the narrative is one div of http://www.w3.org/1999/xhtml",
            Self::NotAllowed => {
                "the narrative has an element or attribute that FHIR does not allow"
            }
            Self::Misplaced => "the narrative has an element or text where HTML does not allow it",
            Self::Unsafe => "the narrative has a link or style that could load or run something",
            Self::Empty => "the narrative says nothing",
            Self::LoadsFromOutside => {
                "the narrative shows a picture that is neither in a data: URL nor contained (#id)"
            }
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

/// The names of XHTML 1.0 for characters.
const ENTITIES: &str = "AElig Aacute Acirc Agrave Alpha Aring Atilde Auml Beta Ccedil Chi Dagger Delta ETH Eacute \
    Ecirc Egrave Epsilon Eta Euml Gamma Iacute Icirc Igrave Iota Iuml Kappa Lambda Mu Ntilde Nu \
    OElig Oacute Ocirc Ograve Omega Omicron Oslash Otilde Ouml Phi Pi Prime Psi Rho Scaron Sigma \
    THORN Tau Theta Uacute Ucirc Ugrave Upsilon Uuml Xi Yacute Yuml Zeta aacute acirc acute \
    aelig agrave alefsym alpha amp and ang apos aring asymp atilde auml bdquo beta brvbar bull \
    cap ccedil cedil cent chi circ clubs cong copy crarr cup curren dArr dagger darr deg delta \
    diams divide eacute ecirc egrave empty emsp ensp epsilon equiv eta eth euml euro exist fnof \
    forall frac12 frac14 frac34 frasl gamma ge gt hArr harr hearts hellip iacute icirc iexcl \
    igrave image infin int iota iquest isin iuml kappa lArr lambda lang laquo larr lceil ldquo \
    le lfloor lowast loz lrm lsaquo lsquo lt macr mdash micro middot minus mu nabla nbsp ndash \
    ne ni not notin nsub ntilde nu oacute ocirc oelig ograve oline omega omicron oplus or ordf \
    ordm oslash otilde otimes ouml para part permil perp phi pi piv plusmn pound prime prod prop \
    psi quot rArr radic rang raquo rarr rceil rdquo real reg rfloor rho rlm rsaquo rsquo sbquo \
    scaron sdot sect shy sigma sigmaf sim spades sub sube sum sup sup1 sup2 sup3 supe szlig tau \
    there4 theta thetasym thinsp thorn tilde times trade uArr uacute uarr ucirc ugrave uml upsih \
    upsilon uuml weierp xi yacute yen yuml zeta zwj zwnj";

/// Elements without content.
const VOID: &str = "area br col hr img";

/// Elements that an HTML parser opens again where something closed them too early.
const FORMATTING: &str = "a b big code em i small strong tt u";

/// Elements that end a paragraph, or that only stand in another block.
const BLOCKS: &str = "address blockquote caption col colgroup dd div dl dt h1 h2 h3 h4 h5 h6 hr li \
    ol p pre table tbody td tfoot th thead tr ul";

/// More levels than this some browsers do not build.
const MAX_DEPTH: usize = 256;

/// The elements that this part of a table stands in.
fn parents(element: &str) -> Option<&'static str> {
    match element {
        "caption" | "colgroup" | "tbody" | "tfoot" | "thead" => Some("table"),
        "col" => Some("colgroup table"),
        "tr" => Some("table tbody tfoot thead"),
        "td" | "th" => Some("tr"),
        _ => None,
    }
}

/// The only elements that this part of a table holds; beside them it holds no text.
fn children(element: &str) -> Option<&'static str> {
    match element {
        "table" => Some("caption col colgroup tbody tfoot thead tr"),
        "colgroup" => Some("col"),
        "tbody" | "tfoot" | "thead" => Some("tr"),
        "tr" => Some("td th"),
        _ if lists(VOID, element) => Some(""),
        _ => None,
    }
}

fn lists(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|listed| listed == word)
}

/// What XML takes for white space: less than Unicode, and less than HTML.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// `Char` of XML 1.0.
fn is_xml(c: char) -> bool {
    is_space(c) || (c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}'))
}

/// Checks the value of `Narrative.div`.
pub(crate) fn check(div: &str) -> Result<(), Fault> {
    if !div.chars().all(is_xml) {
        return Err(Fault::NotWellFormed);
    }
    let mut scanner = Scanner {
        rest: div.trim_matches(is_space),
        open: Vec::new(),
        formatting: 0,
        links: 0,
        says_something: false,
        loads_from_outside: false,
    };
    let mut first = true;
    while !scanner.rest.is_empty() {
        if scanner.open.is_empty() && !first {
            return Err(Fault::NotADiv); // something after the end
        }
        match scanner.rest.strip_prefix('<') {
            Some(rest) if rest.starts_with('/') => scanner.close()?,
            Some(rest) if rest.starts_with(['!', '?']) => return Err(Fault::OtherMarkup),
            Some(_) => scanner.open(first)?,
            None if first => return Err(Fault::NotADiv),
            None => scanner.text()?,
        }
        first = false;
    }
    if first {
        Err(Fault::NotADiv)
    } else if !scanner.open.is_empty() {
        Err(Fault::NotWellFormed)
    } else if !scanner.says_something {
        Err(Fault::Empty)
    } else if scanner.loads_from_outside {
        Err(Fault::LoadsFromOutside)
    } else {
        Ok(())
    }
}

/// What the attributes of a narrative refer to by `#`.
pub(crate) fn fragments(div: &str) -> impl Iterator<Item = &str> {
    let quoted = |quote: char| {
        let values = div.split(quote).skip(1);
        values.filter_map(|value| value.strip_prefix('#'))
    };
    quoted('"').chain(quoted('\''))
}

struct Scanner<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    /// How many of the open elements are of [`FORMATTING`].
    formatting: usize,
    /// How many of the open elements are links.
    links: usize,
    says_something: bool,
    loads_from_outside: bool,
}

impl<'a> Scanner<'a> {
    fn text(&mut self) -> Result<(), Fault> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        check_entities(text)?;
        if text.contains("]]>") {
            return Err(Fault::NotWellFormed);
        }
        let parent = self.open.last().copied().unwrap_or_default();
        if children(parent).is_some() && !text.chars().all(is_space) {
            return Err(Fault::Misplaced);
        }
        self.says_something |= !text.trim().is_empty();
        self.rest = rest;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let (name, rest) = self.rest[2..].split_once('>').ok_or(Fault::NotWellFormed)?;
        let name = name.trim_end_matches(is_space);
        if self.open.pop() != Some(name) {
            return Err(Fault::NotWellFormed);
        }
        self.formatting -= usize::from(lists(FORMATTING, name));
        self.links -= usize::from(name == "a");
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
        self.check_position(name)?;
        let mut attributes: Vec<&str> = Vec::new();
        let closed = loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start_matches(is_space);
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break true;
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break false;
            }
            if self.rest.len() == before {
                return Err(Fault::NotWellFormed); // no space before the attribute
            }
            let attribute = self.attribute(name)?;
            if attributes.contains(&attribute) {
                return Err(Fault::NotWellFormed);
            }
            attributes.push(attribute);
        };
        if first && !attributes.contains(&"xmlns") {
            return Err(Fault::NotADiv);
        }
        self.says_something |= name == "img";
        let formats = lists(FORMATTING, name);
        if closed {
            // HTML reads `<b/>` as `<b>`: what follows would be bold, and in `table` be moved.
            return if formats || name == "table" {
                Err(Fault::Misplaced)
            } else {
                Ok(())
            };
        }
        if name == "br" {
            return Err(Fault::Misplaced); // HTML reads `</br>` as another one
        }
        self.open.push(name);
        self.formatting += usize::from(formats);
        self.links += usize::from(name == "a");
        Ok(())
    }

    /// Whether an HTML parser leaves this element where it stands.
    fn check_position(&self, name: &str) -> Result<(), Fault> {
        let parent = self.open.last().copied().unwrap_or_default();
        let fits = parents(name).is_none_or(|parents| lists(parents, parent))
            && children(parent).is_none_or(|children| lists(children, name));
        let repeats =
            (self.formatting > 0 && lists(BLOCKS, name)) || (self.links > 0 && name == "a");
        if fits && !repeats && self.open.len() < MAX_DEPTH {
            Ok(())
        } else {
            Err(Fault::Misplaced)
        }
    }

    fn attribute(&mut self, element: &str) -> Result<&'a str, Fault> {
        let name = self.name()?;
        let rest = self
            .rest
            .trim_start_matches(is_space)
            .strip_prefix('=')
            .ok_or(Fault::NotWellFormed)?;
        let rest = rest.trim_start_matches(is_space);
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
            "href" | "cite" | "longdesc" => is_safe_link(value),
            "usemap" => value.starts_with('#'),
            "src" => {
                let inside = value.starts_with('#') || is_picture(value);
                self.loads_from_outside |= !inside;
                inside || is_safe_link(value)
            }
            "style" => {
                self.loads_from_outside |= shows_picture_from_outside(value);
                is_safe_style(value)
            }
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

/// Every `&` begins the number of a character of XML, or its name in XHTML.
fn check_entities(text: &str) -> Result<(), Fault> {
    for after in text.split('&').skip(1) {
        let (entity, _) = after.split_once(';').ok_or(Fault::NotWellFormed)?;
        let good = match entity.strip_prefix('#') {
            Some(number) => is_character(number),
            None => lists(ENTITIES, entity),
        };
        if !good {
            return Err(Fault::NotWellFormed);
        }
    }
    Ok(())
}

/// Whether XML and HTML read the same character from `&#number;`: HTML reads `&#128;` as a euro sign.
fn is_character(number: &str) -> bool {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let is_number = digits.chars().all(|c| c.is_digit(radix)); // no sign
    let character = u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32);
    is_number && character.is_some_and(|c| is_xml(c) && !matches!(c, '\u{80}'..='\u{9F}'))
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
        let data = data.trim_start_matches(is_space);
        ["image/png", "image/jpeg", "image/gif"].iter().any(|kind| {
            data.strip_prefix(kind)
                .is_some_and(|rest| rest.starts_with([';', ',']))
        })
    })
}

/// A style that runs nothing, loads at most a picture from where it lies itself,
/// lies on nothing else of the page, and cannot hide what it does.
fn is_safe_style(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let dangers = [
        "expression",
        "@",
        "behavior",
        "binding",
        "script",
        "\\",
        "&",
        "/*",
    ];
    let is_local =
        |link: &str| is_picture(link) || (!link.contains(':') && !link.starts_with("//"));
    let stays = |declaration: &str| {
        declaration.split_once(':').is_none_or(|(property, value)| {
            property.trim() != "position" || matches!(value.trim(), "static" | "relative")
        })
    };
    !dangers.iter().any(|danger| style.contains(danger))
        && pictures(&style).all(is_local)
        && calls_known_functions(&style)
        && style.split(';').all(stays)
}

/// Whether a style shows a picture that is not in the style itself.
fn shows_picture_from_outside(style: &str) -> bool {
    !pictures(&style.to_ascii_lowercase()).all(is_picture)
}

/// The links of a style in lower case.
fn pictures(style: &str) -> impl Iterator<Item = &str> {
    style.split("url(").skip(1).map(|rest| {
        let link = rest.split(')').next().unwrap_or_default();
        link.trim().trim_matches(['"', '\''])
    })
}

/// Others than these load pictures, too: `image-set("https://…" 1x)`.
fn calls_known_functions(style: &str) -> bool {
    style.split('(').rev().skip(1).all(|before| {
        ["url", "rgb", "rgba", "hsl", "hsla", "calc"]
            .iter()
            .any(|function| {
                before.strip_suffix(function).is_some_and(|before| {
                    !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                })
            })
    })
}

#[cfg(test)]
#[path = "narrative_tests.rs"]
mod tests;
