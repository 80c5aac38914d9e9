//! What was done with consents and access codes, and about who acts for the patient.

use domain::{audit::AuditAction, ids::UserId, language::Phrase};
use serde_json::Value;
use store::audit::AuditRow;

/// What was done, if it was done with consents, access codes or representatives.
pub(super) fn done(
    action: AuditAction,
    said: &Value,
    row: &AuditRow,
    reader: UserId,
) -> Option<Phrase> {
    let by_code = row.user != reader && row.on_behalf_of.is_none();
    Some(match action {
        AuditAction::ConsentGrant if by_code => Phrase::new(
            "got the consent that you had prepared, by its access code",
            "memperoleh persetujuan yang telah Anda siapkan, dengan kode aksesnya",
        ),
        AuditAction::ConsentGrant => Phrase::new("gave a consent", "memberikan persetujuan"),
        AuditAction::ConsentWithdraw => Phrase::new("took a consent back", "mencabut persetujuan"),
        AuditAction::ConsentSign => Phrase::new(
            "signed a consent, or its withdrawal, with your wallet",
            "menandatangani persetujuan, atau pencabutannya, dengan dompet Anda",
        ),
        AuditAction::ConsentRead => Phrase::new("read your consents", "membaca persetujuan Anda"),
        AuditAction::AccessCodeCreate => Phrase::new(
            "prepared a consent and got an access code for it",
            "menyiapkan persetujuan dan memperoleh kode aksesnya",
        ),
        AuditAction::AccessCodeRedeem => Phrase::new(
            "redeemed an access code of yours",
            "memakai kode akses Anda",
        ),
        AuditAction::AccessCodeCancel => {
            Phrase::new("cancelled an access code", "membatalkan kode akses")
        }
        AuditAction::RepresentativeAppoint => Phrase::new(
            "named somebody who acts for you",
            "menunjuk seseorang yang mewakili Anda",
        ),
        AuditAction::RepresentativePropose if said["rejected"] == true => Phrase::new(
            "rejected that somebody acts for you",
            "menolak bahwa seseorang mewakili Anda",
        ),
        AuditAction::RepresentativePropose => Phrase::new(
            "proposed somebody who is to act for you",
            "mengusulkan seseorang yang akan mewakili Anda",
        ),
        AuditAction::RepresentativeEnd => Phrase::new(
            "ended that somebody acts for you",
            "mengakhiri perwakilan seseorang atas nama Anda",
        ),
        AuditAction::RepresentativeRead => {
            Phrase::new("read who acts for you", "membaca siapa yang mewakili Anda")
        }
        _ => return None,
    })
}
