#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use super::*;

#[test]
fn an_address_is_folded_and_must_be_able_to_receive_mail() {
    for (typed, wanted) in [
        (" Ana@X.Io ", "ana@x.io"),
        ("ANA+tag@x.io", "ana+tag@x.io"),
        ("ana＠x.io", "ana@x.io"),
        ("Jos\u{65}\u{301}@x.io", "josé@x.io"),
        ("МАРИЯ@почта.рф", "мария@почта.рф"),
        ("maria@почта.рф", "maria@почта.рф"),
        ("anna.müller@übung.example", "anna.müller@übung.example"),
    ] {
        assert_eq!(Email::parse(typed).unwrap().as_str(), wanted, "{typed}");
    }
    for wrong in [
        "",
        "ana",
        "@x.io",
        "ana@",
        "ana@x",
        "ana@x..io",
        "a na@x.io",
        "a@b@c.io",
        "ana\u{200b}@x.io",
        "ana\u{202e}@x.io",
        "\u{430}na@x.io",
        "ana@\u{445}bank.io",
        "ana@x_y.io",
        "ana\u{7}@x.io",
    ] {
        assert_eq!(Email::parse(wrong), Err(InvalidAccount::Email), "{wrong:?}");
    }
    let of = |chars: usize| format!("{}@x.io", "ü".repeat(chars - 5));
    assert!(Email::parse(&of(255)).is_ok(), "counted in characters");
    assert!(Email::parse(&of(256)).is_err());
}

#[test]
fn a_name_of_any_script_has_one_spelling() {
    for (typed, wanted) in [
        ("Dr.Bo", "dr.bo"),
        (" ANA_lee-2 ", "ana_lee-2"),
        // Composed and decomposed, full width, ligature, capital and long s.
        ("Änne", "änne"),
        ("A\u{308}nne", "änne"),
        ("Ａｎａ", "ana"),
        ("ﬁona", "fiona"),
        ("ſara", "sara"),
        // Greek's two small sigmas are one letter.
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
        ("Οδυσσεύς", "οδυσσεύσ"),
        ("Мария", "мария"),
        ("أحمد", "أحمد"),
        ("प्रिया", "प्रिया"),
        ("สมชาย", "สมชาย"),
        ("田中さくらX", "田中さくらx"),
        ("김민준", "김민준"),
        ("İpek", "i\u{307}pek"),
    ] {
        assert_eq!(Username::parse(typed).unwrap().as_str(), wanted, "{typed}");
    }
}

#[test]
fn a_name_cannot_pose_as_another_or_as_a_system_user() {
    let long = "ü".repeat(51);
    for wrong in [
        "",
        "ab",
        "1ab",
        "system:relay",
        "ana lee",
        "ana@lee",
        "ana\0lee",
        &long,
        // Nothing to be seen: joiners, direction marks, a filler, a variation selector, a soft hyphen.
        "ana\u{200d}lee",
        "ana\u{200b}lee",
        "ana\u{202e}lee",
        "\u{2066}analee",
        "ana\u{3164}lee",
        "ana\u{fe0f}lee",
        "ana\u{ad}lee",
        "ana\u{e0041}lee",
        // Begins with a mark.
        "\u{301}ana",
        "ana🙂",
        // Scripts that nobody writes any more.
        "𓀀𓀁𓀂",
    ] {
        let refused = Username::parse(wrong);
        assert_eq!(refused, Err(InvalidAccount::Username), "{wrong:?}");
    }
    // Cyrillic and Greek letters that look Latin.
    for mixed in ["\u{430}na", "dr.b\u{43e}", "an\u{3b1}"] {
        let refused = Username::parse(mixed);
        assert_eq!(refused, Err(InvalidAccount::MixedScripts), "{mixed:?}");
    }
    assert!(
        Username::parse(&"ü".repeat(50)).is_ok(),
        "counted in characters"
    );
}

#[test]
fn what_is_folded_once_is_folded_for_good() {
    for c in (char::MIN..=char::MAX).filter(|c| !c.is_control()) {
        let once = fold(&format!("a{c}b"));
        assert_eq!(fold(&once), once, "U+{:04X}", u32::from(c));
    }
}

#[test]
fn a_password_is_measured_in_characters_and_bounded_in_bytes() {
    let choose = |text: &str| Password::choose(text).map(|it| it.0.chars().count());
    assert_eq!(choose("elevenchars"), Err(InvalidAccount::PasswordTooShort));
    assert_eq!(choose("twelve chars"), Ok(12));
    assert_eq!(choose(&"ü".repeat(12)), Ok(12));
    // Twelve code points as typed, six characters as they are hashed.
    let decomposed = "u\u{308}".repeat(6);
    assert_eq!(choose(&decomposed), Err(InvalidAccount::PasswordTooShort));
    let long = "a".repeat(1025);
    assert_eq!(choose(&long), Err(InvalidAccount::PasswordTooLong));
    assert_eq!(Password::read(&long), Err(InvalidAccount::PasswordTooLong));
    assert!(
        Password::read("short").is_ok(),
        "it may be wrong, not short"
    );
}

#[test]
fn a_password_is_normalised_before_it_is_hashed() {
    let one = Password::read("Gr\u{fc}\u{df}e aus K\u{f6}ln ½").unwrap();
    let other = Password::read("Gru\u{308}\u{df}e aus Ko\u{308}ln ½").unwrap();
    assert_eq!(one, other);
    assert_eq!(Password::read("ＡＢＣ").unwrap().as_str(), "ABC");
    assert_ne!(Password::read("Abc"), Password::read("abc"));
    assert_eq!(format!("{one:?}"), "Password(…)");
}

#[test]
fn a_name_is_divided_into_words() {
    for (text, wanted) in [
        ("Dr.Bo-Lee_2", vec!["dr", "bo", "lee", "2"]),
        ("  ...bo", vec!["bo"]),
        ("bo' | !x:*", vec!["bo", "x"]),
        ("", vec![]),
        ("ΣΟΦΊΑΣ", vec!["σοφίασ"]),
    ] {
        assert_eq!(words(text), wanted, "{text}");
    }
}
