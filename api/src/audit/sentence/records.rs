//! What was done with records, or tried.

use domain::{audit::AuditAction, ids::UserId, language::Phrase};
use serde_json::Value;
use store::audit::AuditRow;

/// What was done, or tried, if it was done with records; `<records>` and `<count>` stand for how many.
pub(super) fn done(
    action: AuditAction,
    said: &Value,
    row: &AuditRow,
    reader: UserId,
) -> Option<Phrase> {
    Some(match action {
        AuditAction::RecordCreate => Phrase::new(
            "added a record to your file",
            "menambahkan rekam medis ke berkas Anda",
        ),
        AuditAction::RecordAmend => amended(said, row),
        AuditAction::RecordDerive => Phrase::new(
            "read anew by which dates and codes a record of yours is found",
            "membaca ulang tanggal dan kode yang dipakai untuk menemukan satu rekam medis Anda",
        ),
        AuditAction::RecordRead => read(row),
        AuditAction::RecordSearch if said["stream"].is_string() => Phrase::new(
            "followed changes of <records>",
            "mengikuti perubahan <records>",
        ),
        AuditAction::RecordSearch => searched(row, reader),
        AuditAction::RecordVerify => Phrase::new(
            "compared <records> with the blockchain",
            "membandingkan <records> dengan blockchain",
        ),
        AuditAction::RecordExport => Phrase::new(
            "took a copy of <records> out",
            "mengambil salinan <records>",
        ),
        AuditAction::RecordImport => Phrase::new(
            "brought a record of yours back from an export",
            "memasukkan kembali satu rekam medis Anda dari hasil ekspor",
        ),
        AuditAction::RecordAnchor => Phrase::new(
            "found a record of yours on the blockchain",
            "menemukan satu rekam medis Anda di blockchain",
        ),
        AuditAction::AccessDenied if row.user == reader => Phrase::new(
            "tried to reach your data and were refused",
            "mencoba mengakses data Anda dan ditolak",
        ),
        AuditAction::AccessDenied => Phrase::new(
            "tried to reach your data and was refused",
            "mencoba mengakses data Anda dan ditolak",
        ),
        _ => return None,
    })
}

/// Whether the document was opened for somebody.
fn is_opened(row: &AuditRow) -> bool {
    row.encryption_status == "DECRYPTED_FOR_DISCLOSURE"
}

fn amended(said: &Value, row: &AuditRow) -> Phrase {
    if is_opened(row) {
        Phrase::new(
            "opened a record of yours to withdraw it",
            "membuka satu rekam medis Anda untuk menariknya",
        )
    } else if said["withdrawn"] == true {
        Phrase::new(
            "withdrew a record of yours as entered in error",
            "menarik satu rekam medis Anda karena salah dimasukkan",
        )
    } else if said["attachment"].is_null() {
        Phrase::new(
            "wrote a new version of a record of yours",
            "menulis versi baru dari satu rekam medis Anda",
        )
    } else {
        Phrase::new(
            "stored a file that a record of yours names",
            "menyimpan berkas yang disebut dalam satu rekam medis Anda",
        )
    }
}

fn read(row: &AuditRow) -> Phrase {
    if is_opened(row) {
        Phrase::new("opened <records>", "membuka <records>")
    } else if row.run.records > 1 {
        Phrase::new(
            "saw that you have <count> records, but not what they say",
            "melihat bahwa Anda memiliki <count> rekam medis, tetapi tidak isinya",
        )
    } else {
        Phrase::new(
            "saw that you have a record, but not what it says",
            "melihat bahwa Anda memiliki satu rekam medis, tetapi tidak isinya",
        )
    }
}

/// What the list of a patient's records came to.
fn searched(row: &AuditRow, reader: UserId) -> Phrase {
    if showed_nothing(row) && row.user == reader {
        return Phrase::new(
            "looked for records of yours and were shown none",
            "mencari rekam medis Anda dan tidak ditunjukkan satu pun",
        );
    }
    if showed_nothing(row) {
        return Phrase::new(
            "looked for records of yours and was shown none",
            "mencari rekam medis Anda dan tidak ditunjukkan satu pun",
        );
    }
    match row.run.records {
        0 => Phrase::new(
            "looked through the list of your records",
            "melihat daftar rekam medis Anda",
        ),
        1 => Phrase::new(
            "looked through a list with one of your records",
            "melihat daftar yang memuat satu rekam medis Anda",
        ),
        _ => Phrase::new(
            "looked through a list with <count> of your records",
            "melihat daftar yang memuat <count> rekam medis Anda",
        ),
    }
}

/// Whether it is a list of records with none in it.
pub(in crate::audit) fn showed_nothing(row: &AuditRow) -> bool {
    let said = row.new_value.as_ref();
    row.action_type == "RECORD_SEARCH"
        && row.record_ids.is_empty()
        // A list of patients shows the patient, whatever there is of records.
        && said.is_some_and(|said| said["count"] == 0 && said["list"].is_null())
}
