//! What was done about emergency access.

use domain::{audit::AuditAction, language::Phrase};
use serde_json::Value;

/// What was done, if it was done about emergency access.
pub(super) fn done(action: AuditAction, said: &Value) -> Option<Phrase> {
    Some(match action {
        AuditAction::BreakGlassStart => Phrase::new(
            "opened emergency access to your records without your consent",
            "membuka akses darurat ke rekam medis Anda tanpa persetujuan Anda",
        ),
        AuditAction::BreakGlassEnd if said["by"] == "TIME" => Phrase::new(
            "ended emergency access to your records, because its time was over",
            "mengakhiri akses darurat ke rekam medis Anda, karena waktunya habis",
        ),
        AuditAction::BreakGlassEnd => Phrase::new(
            "ended the emergency access to your records",
            "mengakhiri akses darurat ke rekam medis Anda",
        ),
        AuditAction::BreakGlassReview => reviewed(said),
        AuditAction::BreakGlassRead => Phrase::new(
            "read about emergency access to your records",
            "membaca tentang akses darurat ke rekam medis Anda",
        ),
        _ => return None,
    })
}

fn reviewed(said: &Value) -> Phrase {
    let decision = said["decision"].as_str();
    let forged = said["forgedReview"].as_str();
    match (decision, forged) {
        (Some("JUSTIFIED"), _) => Phrase::new(
            "reviewed emergency access to your records and found that it was justified",
            "meninjau akses darurat ke rekam medis Anda dan menilainya dapat dibenarkan",
        ),
        (Some("UNJUSTIFIED"), _) => Phrase::new(
            "reviewed emergency access to your records and found that it was not justified",
            "meninjau akses darurat ke rekam medis Anda dan menilainya tidak dapat dibenarkan",
        ),
        (_, Some("RESTORED")) => Phrase::new(
            "put a review of emergency access to your records back as it had been made",
            "memulihkan peninjauan akses darurat ke rekam medis Anda seperti semula",
        ),
        (_, Some(_)) => Phrase::new(
            "took out a review of emergency access to your records that nobody had made",
            "menghapus peninjauan akses darurat ke rekam medis Anda yang tidak pernah dibuat",
        ),
        (_, None) => Phrase::new(
            "told every administrator that nobody had reviewed emergency access to your records in \
             time",
            "memberi tahu setiap administrator bahwa akses darurat ke rekam medis Anda tidak \
             ditinjau tepat waktu",
        ),
    }
}
