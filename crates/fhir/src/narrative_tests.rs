use super::*;

fn div(inner: &str) -> Result<(), Fault> {
    check(&format!(
        "<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>"
    ))
}

#[test]
fn txt_1_formatting_links_and_pictures_are_allowed() {
    for good in [
        "text",
        "<p class=\"a\" style='color: red'>a &amp; b&#160;&nbsp;<br/></p>",
        "<table border=\"1\"><tbody><tr ><td colspan=\"2\">a</td></tr></tbody></table >",
        "<a href=\"https://a.example/?a=1&amp;b=2\">a</a><a href=\"#x\">b</a>",
        "<img src=\"#picture\" alt=\"a\"/>",
        "<img src=\"data:image/png;base64,AAAA\"/>",
        "<p style=\"background: url(data:image/gif;base64,AAAA) #fff\">a</p>",
        "<p style=\"color: rgb(1, 2, 3) !important; background-position: left\">a</p>",
        "<table><tr><td/><td>a</td></tr></table><p/><div/>",
    ] {
        assert_eq!(div(good), Ok(()), "{good}");
    }
}

#[test]
fn txt_1_whatever_could_run_or_load_is_refused() {
    for (bad, fault) in [
        ("<script>a</script>", Fault::NotAllowed),
        ("<form>a</form>", Fault::NotAllowed),
        ("<iframe/>", Fault::NotAllowed),
        ("<p onclick=\"a()\">a</p>", Fault::NotAllowed),
        ("<a href=\"javascript:a()\">a</a>", Fault::Unsafe),
        ("<a href=\" JavaScript:a()\">a</a>", Fault::Unsafe),
        ("<a href=\"java&#115;cript:a()\">a</a>", Fault::Unsafe),
        ("<a href=\"data:text/html,a\">a</a>", Fault::Unsafe),
        ("<img src=\"data:image/svg+xml,a\"/>", Fault::Unsafe),
        (
            "<p style=\"background: URL(http://a)\">a</p>",
            Fault::Unsafe,
        ),
        (
            "<p style=\"background: image-set('https://a' 1x)\">a</p>",
            Fault::Unsafe,
        ),
        ("<p style=\"position : fixed\">a</p>", Fault::Unsafe),
        ("<img src=\"data:image/pngx,a\"/>", Fault::Unsafe),
        ("<p xmlns=\"urn:other\">a</p>", Fault::NotADiv),
    ] {
        assert_eq!(div(bad), Err(fault), "{bad}");
    }
}

#[test]
fn txt_1_a_narrative_is_one_well_formed_div() {
    for bad in [
        "<p>a",
        "a</p>",
        "<p><b>a</p></b>",
        "a & b",
        "<p a>b</p>",
        "<p id=a>b</p>",
        "<p id=\"a\"id=\"b\">c</p>",
        "<p id=\"a\" id=\"b\">c</p>",
        "<p",
        "a]]>b",
        "&nosuch;",
        "&NBSP;",
        "&amp",
        "&#0;",
        "&#x1F;",
        "&#xD800;",
        "&#x110000;",
        "&#+65;",
        "&#128;",
        "a\u{0}",
        "a\u{C}",
        "a\u{FFFF}",
        "<p>a</p\u{A0}>",
        "<p\u{A0}>a</p>",
        "< p>a</p>",
        "&#xZ;",
        "&;",
    ] {
        assert_eq!(div(bad), Err(Fault::NotWellFormed), "{bad}");
    }
    assert_eq!(check("text"), Err(Fault::NotADiv));
    assert_eq!(check(""), Err(Fault::NotADiv));
    assert_eq!(
        check("<p xmlns=\"http://www.w3.org/1999/xhtml\">a</p>"),
        Err(Fault::NotADiv)
    );
    assert_eq!(check("<div>a</div>"), Err(Fault::NotADiv));
    let two = "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div><div>b</div>";
    assert_eq!(check(two), Err(Fault::NotADiv));
}

#[test]
fn txt_2_a_narrative_says_something() {
    assert_eq!(div(" \n"), Err(Fault::Empty));
    assert_eq!(div("<p><br/></p>"), Err(Fault::Empty));
}

#[test]
fn txt_1_there_is_nothing_but_tags_and_text() {
    for bad in [
        "a<!-- b -->",
        "a<!-->b",
        "a<!--><img src=\"x\" onerror=\"a()\"/>-->",
        "a<!--->b-->",
        "a<!-- b --!> c -->",
        "a<!-- b -- c -->",
        "<!-- a",
        "<![CDATA[a]]>",
        "<?a?>",
        "<!DOCTYPE a>",
    ] {
        assert_eq!(div(bad), Err(Fault::OtherMarkup), "{bad}");
    }
}

#[test]
fn txt_1_every_element_stands_where_html_leaves_it() {
    for bad in [
        "<b/>a",
        "<a name=\"a\"/>b",
        "<table/>a",
        "<br></br>",
        "<hr>a</hr>",
        "<b><p>a</p></b>",
        "<p><i><span><table/></span></i></p>",
        "<a href=\"#a\"><span><a href=\"#b\">c</a></span></a>",
        "<td>a</td>",
        "<table><p>a</p></table>",
        "<table>a</table>",
        "<table><tr>&nbsp;<td>a</td></tr></table>",
        "<table><tr><tr/></tr></table>",
    ] {
        assert_eq!(div(bad), Err(Fault::Misplaced), "{bad}");
    }
    let deep = |levels: usize| format!("{}a{}", "<div>".repeat(levels), "</div>".repeat(levels));
    assert_eq!(div(&deep(MAX_DEPTH - 1)), Ok(()));
    assert_eq!(div(&deep(MAX_DEPTH)), Err(Fault::Misplaced));
}

#[test]
fn pictures_from_elsewhere_are_told_apart_and_hide_nothing_else() {
    for outside in [
        "<img src=\"https://a.example/b.png\"/>",
        "<img src=\"b.png\"/>",
        "<img src=\"//a.example/b\"/>",
        "<p style=\"background-image: url(tbl_bck10.png)\">a</p>",
    ] {
        assert_eq!(div(outside), Err(Fault::LoadsFromOutside), "{outside}");
        let worse = format!("{outside}<script>a</script>");
        assert_eq!(div(&worse), Err(Fault::NotAllowed), "{outside}");
    }
}
