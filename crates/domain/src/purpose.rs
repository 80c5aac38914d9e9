//! Why data is touched: codes of HL7 v3 PurposeOfUse, and which of them contains which.

use crate::{language::Phrase, text::text_enum, users::Role};

text_enum! {
    /// A code of HL7 v3 PurposeOfUse.
    Purpose {
        /// Treatment.
        Treatment = "TREAT",
        /// Emergency treatment.
        EmergencyTreatment = "ETREAT",
        /// Break the glass.
        BreakGlass = "BTG",
        /// Treatment in an emergency room.
        EmergencyRoomTreatment = "ERTREAT",
        /// Coordination of care.
        Coordination = "COC",
        /// Clinical trial of which the patient's treatment is a part.
        ClinicalTrial = "CLINTRL",
        /// Population health.
        PopulationHealth = "POPHLTH",
        /// Payment.
        Payment = "HPAYMT",
        /// Running the organisation.
        Operations = "HOPERAT",
        /// Running the system.
        SystemAdministration = "HSYSADMIN",
        /// Complying with a law.
        Compliance = "HCOMPL",
        /// Managing records.
        RecordManagement = "RECORDMGT",
        /// Research.
        Research = "HRESCH",
        /// Marketing.
        Marketing = "HMARKT",
        /// Public health.
        PublicHealth = "PUBHLTH",
        /// The patient asked for it.
        PatientRequest = "PATRQT",
    }
}

/// What is done in an emergency without a consent is done for one of these.
pub const EMERGENCIES: [Purpose; 2] = [Purpose::BreakGlass, Purpose::EmergencyTreatment];

impl Purpose {
    /// The purpose that contains this one, if any.
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::EmergencyTreatment
            | Self::Coordination
            | Self::ClinicalTrial
            | Self::PopulationHealth => Some(Self::Treatment),
            Self::BreakGlass | Self::EmergencyRoomTreatment => Some(Self::EmergencyTreatment),
            Self::SystemAdministration | Self::Compliance | Self::RecordManagement => {
                Some(Self::Operations)
            }
            Self::Treatment
            | Self::Payment
            | Self::Operations
            | Self::Research
            | Self::Marketing
            | Self::PublicHealth
            | Self::PatientRequest => None,
        }
    }

    /// Whether a consent to a wider purpose extends to this one. Never for what a patient would
    /// not expect to have agreed to in passing.
    pub const fn is_inherited(self) -> bool {
        match self {
            Self::EmergencyTreatment
            | Self::BreakGlass
            | Self::EmergencyRoomTreatment
            | Self::ClinicalTrial
            | Self::Research
            | Self::Marketing => false,
            Self::Treatment
            | Self::Coordination
            | Self::PopulationHealth
            | Self::Payment
            | Self::Operations
            | Self::SystemAdministration
            | Self::Compliance
            | Self::RecordManagement
            | Self::PublicHealth
            | Self::PatientRequest => true,
        }
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(self, other: Self) -> bool {
        self == other || self.parent().is_some_and(|parent| parent.is_within(other))
    }

    /// The purposes a consent may carry to cover a request made for this one, this one first.
    pub fn covering(self) -> Vec<Self> {
        let mut covering = vec![self];
        let mut wider = self.is_inherited().then(|| self.parent()).flatten();
        while let Some(purpose) = wider {
            covering.push(purpose);
            wider = purpose.parent();
        }
        covering
    }

    /// Whether somebody of this role may act for this purpose at all.
    pub fn is_open_to(self, role: Role) -> bool {
        match role {
            Role::Patient => self == Self::PatientRequest,
            Role::Doctor => self.is_within(Self::Treatment) || self.is_within(Self::Research),
            Role::Admin => self.is_within(Self::Operations),
        }
    }

    /// Whether a window of emergency access can be opened for it (`break_glass`).
    pub const fn is_emergency(self) -> bool {
        matches!(self, Self::BreakGlass | Self::EmergencyTreatment)
    }

    /// What a caller who names no purpose acts for.
    pub const fn default_of(role: Role) -> Self {
        match role {
            Role::Patient => Self::PatientRequest,
            Role::Doctor => Self::Treatment,
            Role::Admin => Self::Operations,
        }
    }

    /// The purpose in words, for sentences a patient reads.
    pub const fn in_words(self) -> Phrase {
        match self {
            Self::Treatment => Phrase::new("treatment", "perawatan"),
            Self::EmergencyTreatment => Phrase::new("emergency treatment", "perawatan darurat"),
            Self::BreakGlass => Phrase::new("an emergency", "keadaan darurat"),
            Self::EmergencyRoomTreatment => Phrase::new(
                "treatment in an emergency room",
                "perawatan di instalasi gawat darurat",
            ),
            Self::Coordination => Phrase::new("coordination of care", "koordinasi perawatan"),
            Self::ClinicalTrial => Phrase::new("a clinical trial", "uji klinis"),
            Self::PopulationHealth => Phrase::new("population health", "kesehatan populasi"),
            Self::Payment => Phrase::new("payment", "pembayaran"),
            Self::Operations => Phrase::new("running the service", "operasional layanan"),
            Self::SystemAdministration => {
                Phrase::new("system administration", "administrasi sistem")
            }
            Self::Compliance => Phrase::new("compliance", "kepatuhan"),
            Self::RecordManagement => Phrase::new("record management", "pengelolaan rekam medis"),
            Self::Research => Phrase::new("research", "penelitian"),
            Self::Marketing => Phrase::new("marketing", "pemasaran"),
            Self::PublicHealth => Phrase::new("public health", "kesehatan masyarakat"),
            Self::PatientRequest => {
                Phrase::new("the patient's own request", "permintaan pasien sendiri")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_to_treatment_covers_coordination_but_no_emergency_and_no_trial() {
        assert_eq!(
            Purpose::Coordination.covering(),
            [Purpose::Coordination, Purpose::Treatment]
        );
        for purpose in [
            Purpose::EmergencyTreatment,
            Purpose::BreakGlass,
            Purpose::EmergencyRoomTreatment,
            Purpose::ClinicalTrial,
            Purpose::Research,
            Purpose::Marketing,
        ] {
            assert_eq!(purpose.covering(), [purpose]);
        }
    }

    #[test]
    fn each_role_has_its_own_purposes() {
        let open = |role| {
            Purpose::ALL
                .iter()
                .filter(|p| p.is_open_to(role))
                .map(|p| p.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(open(Role::Patient), ["PATRQT"]);
        assert_eq!(
            open(Role::Doctor),
            [
                "TREAT", "ETREAT", "BTG", "ERTREAT", "COC", "CLINTRL", "POPHLTH", "HRESCH"
            ]
        );
        assert_eq!(
            open(Role::Admin),
            ["HOPERAT", "HSYSADMIN", "HCOMPL", "RECORDMGT"]
        );
    }

    #[test]
    fn everyone_may_act_for_their_own_default() {
        for role in Role::ALL {
            assert!(Purpose::default_of(*role).is_open_to(*role));
        }
    }
}
