//! What was done with the account and what belongs to it, and with the log of accesses.

use domain::{audit::AuditAction, language::Phrase};
use serde_json::Value;

/// What was done, if it was done with the account, or with the log of accesses.
pub(super) fn done(action: AuditAction, said: &Value) -> Option<Phrase> {
    Some(match action {
        AuditAction::UserUpdate => {
            Phrase::new("changed data of your account", "mengubah data akun Anda")
        }
        AuditAction::UserDeactivate => {
            Phrase::new("deactivated your account", "menonaktifkan akun Anda")
        }
        AuditAction::UserReactivate => Phrase::new(
            "made your account active again",
            "mengaktifkan kembali akun Anda",
        ),
        AuditAction::UserRoleChange => Phrase::new(
            "changed the role of your account",
            "mengubah peran akun Anda",
        ),
        AuditAction::MembershipAdd => Phrase::new(
            "made you a member of an organisation",
            "menjadikan Anda anggota sebuah organisasi",
        ),
        AuditAction::MembershipEnd => Phrase::new(
            "ended your membership of an organisation",
            "mengakhiri keanggotaan Anda di sebuah organisasi",
        ),
        AuditAction::WalletLink => Phrase::new(
            "linked a wallet to your account",
            "menautkan dompet ke akun Anda",
        ),
        AuditAction::WalletUnlink => Phrase::new(
            "unlinked the wallet of your account",
            "melepaskan dompet dari akun Anda",
        ),
        AuditAction::SecondFactorStart => Phrase::new(
            "began a second factor for your account",
            "mulai menyiapkan faktor kedua untuk akun Anda",
        ),
        AuditAction::SecondFactorConfirm => Phrase::new(
            "made a second factor count for your account",
            "mengaktifkan faktor kedua untuk akun Anda",
        ),
        AuditAction::SecondFactorRemove => Phrase::new(
            "took the second factor of your account off",
            "menonaktifkan faktor kedua akun Anda",
        ),
        AuditAction::AuditRead => Phrase::new(
            "read who accessed your data",
            "membaca siapa yang mengakses data Anda",
        ),
        AuditAction::AuditExport if said["export"] == "MY_DATA" => Phrase::new(
            "took out all that is kept about you",
            "mengambil semua yang disimpan tentang Anda",
        ),
        AuditAction::AuditExport => Phrase::new(
            "took out who accessed your data",
            "mengambil catatan siapa yang mengakses data Anda",
        ),
        _ => return None,
    })
}
