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
        "<p class=\"a\" style='color: red'>a &amp; b&#160;&nbsp;<br/></p><!-- note -->",
        "<table border=\"1\"><tbody><tr ><td colspan=\"2\">a</td></tr></tbody></table >",
        "<a href=\"https://a.example/?a=1&amp;b=2\">a</a><a href=\"#x\">b</a>",
        "<img src=\"#picture\" alt=\"a\"/>",
        "<img src=\"data:image/png;base64,AAAA\"/>",
        "<p style=\"background-image: url(tbl_bck10.png)\">a</p>",
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
        "<!-- a",
        "<![CDATA[a]]>",
        "<?a?>",
        "<!DOCTYPE a>",
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
