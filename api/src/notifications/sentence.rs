//! A notification as a sentence, in each language.

use domain::{
    break_glass::NotificationKind,
    language::{Language, Phrase},
    users::{SOMEBODY, User},
};

/// What a notification of this kind tells, as a sentence.
pub(super) fn of(kind: NotificationKind, actor: Option<&User>, language: Language) -> String {
    let who = match actor {
        Some(user) => user.in_words(language),
        None => SOMEBODY.said_in(language).to_owned(),
    };
    told(kind).said_in(language).replace("<who>", &who)
}

/// What is told; `<who>` stands for who did it.
const fn told(kind: NotificationKind) -> Phrase {
    match kind {
        NotificationKind::BreakGlassOpened => Phrase::new(
            "<who> opened emergency access to your records without your consent; administrators \
             review it.",
            "<who> membuka akses darurat ke rekam medis Anda tanpa persetujuan Anda; administrator \
             meninjaunya.",
        ),
        NotificationKind::BreakGlassJustified => Phrase::new(
            "<who> reviewed emergency access and found that it was justified.",
            "<who> meninjau akses darurat dan menilainya dapat dibenarkan.",
        ),
        NotificationKind::BreakGlassUnjustified => Phrase::new(
            "<who> reviewed emergency access and found that it was not justified.",
            "<who> meninjau akses darurat dan menilainya tidak dapat dibenarkan.",
        ),
        NotificationKind::BreakGlassEscalated => Phrase::new(
            "Nobody has reviewed emergency access by <who> within 72 hours: review it now.",
            "Belum ada yang meninjau akses darurat oleh <who> dalam 72 jam: tinjaulah sekarang.",
        ),
        NotificationKind::RepresentativeAppointed => Phrase::new(
            "<who> made a representation by which you act for somebody, or somebody for you.",
            "<who> membuat perwakilan: Anda bertindak untuk seseorang, atau seseorang untuk Anda.",
        ),
        NotificationKind::RepresentationEnded => Phrase::new(
            "<who> ended a representation by which you acted for somebody, or somebody for you.",
            "<who> mengakhiri perwakilan: Anda bertindak untuk seseorang, atau seseorang untuk \
             Anda.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::{ids::UserId, users::Role};

    use super::*;

    #[test]
    fn each_notification_names_who_did_it_in_each_language() {
        let bo = User {
            id: UserId::fresh(),
            email: "bo@x.io".to_owned(),
            username: "dr.bo".to_owned(),
            role: Role::Doctor,
            is_active: true,
            blockchain_address: None,
            organization: None,
            created_at: DateTime::UNIX_EPOCH,
        };
        for kind in NotificationKind::ALL {
            let english = of(*kind, Some(&bo), Language::English);
            let indonesian = of(*kind, Some(&bo), Language::Indonesian);
            assert!(english.contains("dr.bo (doctor) "), "{english}");
            assert!(indonesian.contains("dr.bo (dokter) "), "{indonesian}");
            assert!(english.ends_with('.') && indonesian.ends_with('.'));
        }
    }
}
