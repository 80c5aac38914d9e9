//! What records are looked for by, and in which order.

use domain::ids::UserId;
use serde_json::{Value, json};
use store::records::search::{Filter, Order};

/// What is looked for, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Criteria {
    /// Of this patient.
    pub(crate) patient: Option<UserId>,
    /// What the database filters by; the codes' tokens come later.
    pub(crate) filter: Filter,
    /// The system and the code.
    pub(crate) code: Option<(String, String)>,
}

impl Criteria {
    /// The names of what is filtered by, without the values: these are health data.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let filter = &self.filter;
        let created = filter.created_from.is_some() || filter.created_to.is_some();
        let effective = filter.effective_from.is_some() || filter.effective_to.is_some();
        [
            ("recordTypes", filter.record_types.len() > 1),
            ("created", created),
            ("effective", effective),
            ("author", filter.author.is_some()),
            ("completeness", filter.complete.is_some()),
            ("metadata", filter.metadata.is_some()),
            ("code", self.code.is_some()),
            ("superseded", filter.with_superseded),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }

    /// All that decides what is in a list and in which order: what its cursors are bound to.
    pub(crate) fn arguments(&self, order: Order) -> Value {
        let filter = &self.filter;
        json!([
            self.patient,
            filter.record_types,
            filter.created_from,
            filter.created_to,
            filter.effective_from,
            filter.effective_to,
            filter.author,
            filter.complete,
            filter.metadata,
            filter.with_superseded,
            self.code,
            match order {
                Order::CreatedDescending => 0,
                Order::CreatedAscending => 1,
                Order::EffectiveDescending => 2,
                Order::EffectiveAscending => 3,
            }
        ])
    }

    /// Whose newest are looked for in this order, if nothing else is: one patient's, with no filter but types.
    pub(crate) fn newest_of(&self, order: Order) -> Option<UserId> {
        let is_newest = order == Order::CreatedDescending
            && self.code.is_none()
            && self.filter.is_of_types_alone();
        self.patient.filter(|_| is_newest)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_one_patients_newest_of_any_types_are_found_by_a_plan_that_is_kept() {
        let patient = Some(UserId(Uuid::from_u128(7)));
        let all = Criteria {
            patient,
            ..Criteria::default()
        };
        let by_author = Filter {
            author: patient,
            ..Filter::default()
        };
        let filtered = Criteria {
            filter: by_author,
            ..all.clone()
        };
        let coded = Criteria {
            code: Some(("system".to_owned(), "code".to_owned())),
            ..all.clone()
        };
        for (criteria, order, wanted) in [
            (&all, Order::CreatedDescending, patient),
            (&all, Order::CreatedAscending, None),
            (&all, Order::EffectiveDescending, None),
            (&all, Order::EffectiveAscending, None),
            (&filtered, Order::CreatedDescending, None),
            (&coded, Order::CreatedDescending, None),
            (&Criteria::default(), Order::CreatedDescending, None),
        ] {
            assert_eq!(criteria.newest_of(order), wanted, "{criteria:?} {order:?}");
        }
    }
}
