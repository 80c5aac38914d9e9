//! What does not fit together: a row that decides, or a record.

use domain::{audit::AuditAction, language::Phrase};
use serde_json::Value;

/// What was done, if it was done about something that does not fit together.
pub(super) fn done(action: AuditAction, said: &Value) -> Option<Phrase> {
    Some(match action {
        AuditAction::RowSeal => Phrase::new(
            "sealed a row of yours again that was changed outside the service",
            "menyegel ulang baris milik Anda yang diubah di luar layanan",
        ),
        AuditAction::IntegrityFailure => found_in(said["table"].as_str()),
        _ => return None,
    })
}

/// What was found in a row of this table, or else of a record.
fn found_in(table: Option<&str>) -> Phrase {
    match table {
        Some("data_processing_consents") => Phrase::new(
            "found that a consent of yours was changed outside the service: it counts for nothing",
            "menemukan bahwa persetujuan Anda diubah di luar layanan: persetujuan itu tidak \
             berlaku",
        ),
        Some("second_factors") => Phrase::new(
            "found that your second factor was changed outside the service: no code is taken",
            "menemukan bahwa faktor kedua Anda diubah di luar layanan: tidak ada kode yang \
             diterima",
        ),
        Some("users") => Phrase::new(
            "found that your account was changed outside the service: nobody logs in to it",
            "menemukan bahwa akun Anda diubah di luar layanan: tidak ada yang dapat masuk \
             dengannya",
        ),
        Some("sessions") => Phrase::new(
            "found that a log-in to your account was changed outside the service: it counts for \
             nothing",
            "menemukan bahwa sesi masuk akun Anda diubah di luar layanan: sesi itu tidak berlaku",
        ),
        Some("role_proposals") => Phrase::new(
            "found that a role proposed for you was changed outside the service: it counts for \
             nothing",
            "menemukan bahwa peran yang diusulkan untuk Anda diubah di luar layanan: usulan itu \
             tidak berlaku",
        ),
        Some("access_codes") => Phrase::new(
            "found that an access code of yours was changed outside the service: it counts for \
             nothing",
            "menemukan bahwa kode akses Anda diubah di luar layanan: kode itu tidak berlaku",
        ),
        Some("break_glass_windows") => Phrase::new(
            "found that emergency access to your records was changed outside the service: it \
             counts for nothing",
            "menemukan bahwa akses darurat ke rekam medis Anda diubah di luar layanan: akses itu \
             tidak berlaku",
        ),
        Some("data_deletion_requests") => Phrase::new(
            "found that a deletion request of yours was changed outside the service: it counts for \
             nothing",
            "menemukan bahwa permintaan penghapusan Anda diubah di luar layanan: permintaan itu \
             tidak berlaku",
        ),
        Some("representatives" | "representative_proposals") => Phrase::new(
            "found that a representative of yours was changed outside the service: they cannot act \
             for you",
            "menemukan bahwa wakil Anda diubah di luar layanan: ia tidak dapat mewakili Anda",
        ),
        Some("consent_receipts") => Phrase::new(
            "found that the receipt of a consent of yours was changed outside the service: it \
             proves nothing",
            "menemukan bahwa bukti terima persetujuan Anda diubah di luar layanan: bukti itu tidak \
             membuktikan apa pun",
        ),
        Some("legal_holds") => Phrase::new(
            "found that a legal hold on your data was changed outside the service",
            "menemukan bahwa penahanan hukum atas data Anda diubah di luar layanan",
        ),
        Some("memberships") => Phrase::new(
            "found that your membership of an organisation was changed outside the service: it \
             lets you in nowhere",
            "menemukan bahwa keanggotaan Anda di sebuah organisasi diubah di luar layanan: Anda \
             tidak memperoleh akses darinya",
        ),
        _ => Phrase::new(
            "found that a record of yours does not match the blockchain",
            "menemukan bahwa satu rekam medis Anda tidak sesuai dengan blockchain",
        ),
    }
}
