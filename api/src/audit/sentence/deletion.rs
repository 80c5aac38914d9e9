//! What was done about erasing and restricting data, and about legal holds.

use domain::{audit::AuditAction, language::Phrase};

/// What was done, if it was done about a request to erase or restrict data, or about a legal hold.
pub(super) fn done(action: AuditAction) -> Option<Phrase> {
    Some(match action {
        AuditAction::DeletionRequest => Phrase::new(
            "asked for data to be erased or restricted",
            "meminta data dihapus atau dibatasi",
        ),
        AuditAction::DeletionVerify => Phrase::new(
            "verified your request for data to be erased or restricted",
            "memverifikasi permintaan Anda agar data dihapus atau dibatasi",
        ),
        AuditAction::DeletionExpire => Phrase::new(
            "ended a request of yours for data to be erased that was not verified",
            "mengakhiri permintaan Anda agar data dihapus, yang tidak diverifikasi",
        ),
        AuditAction::DeletionReview => Phrase::new(
            "decided about your request for data to be erased or restricted",
            "memutuskan permintaan Anda agar data dihapus atau dibatasi",
        ),
        AuditAction::DeletionCancel => Phrase::new(
            "took your request for data to be erased or restricted back",
            "menarik kembali permintaan Anda agar data dihapus atau dibatasi",
        ),
        AuditAction::DeletionHold => Phrase::new(
            "moved your request for data to be erased because of a legal hold",
            "mengubah status permintaan Anda agar data dihapus karena penahanan hukum",
        ),
        AuditAction::DeletionExecute => Phrase::new(
            "carried out a step of your request for data to be erased",
            "melaksanakan satu langkah dari permintaan Anda agar data dihapus",
        ),
        AuditAction::DeletionComplete => Phrase::new(
            "carried out your request for data to be erased, and certified it",
            "melaksanakan permintaan Anda agar data dihapus, dan menerbitkan sertifikatnya",
        ),
        AuditAction::DeletionRead => Phrase::new(
            "read your deletion requests",
            "membaca permintaan penghapusan Anda",
        ),
        AuditAction::RetentionPurge => Phrase::new(
            "erased records of yours that had been kept as long as they have to be",
            "menghapus rekam medis Anda yang sudah tidak wajib disimpan lagi",
        ),
        AuditAction::KeyDestroy => Phrase::new(
            "destroyed the key of your records",
            "memusnahkan kunci rekam medis Anda",
        ),
        AuditAction::HoldPlace => Phrase::new(
            "placed a legal hold on data of yours",
            "menetapkan penahanan hukum atas data Anda",
        ),
        AuditAction::HoldRelease => Phrase::new(
            "asked for a legal hold on data of yours to be released, or released it",
            "meminta penahanan hukum atas data Anda dilepas, atau melepasnya",
        ),
        _ => return None,
    })
}
