//! Which photos show the same meeting with a whale: those of one encounter, and near-duplicates.

use crate::gallery::label::PhotoLabel;
use std::collections::BTreeMap;

/// Marks a photo without a group.
const NONE: u32 = u32::MAX;

/// Groups of photos; a photo is in at most one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Groups {
    group_of: Vec<u32>,
    members: Vec<Vec<usize>>,
}

impl Groups {
    /// Photos with equal keys are a group.
    fn of<K: Ord>(keys: impl Iterator<Item = Option<K>>) -> Self {
        let mut numbers: BTreeMap<K, u32> = BTreeMap::new();
        let mut groups = Self::default();
        for (photo, key) in keys.enumerate() {
            let number = key.map_or(NONE, |key| {
                let next = numbers.len() as u32;
                *numbers.entry(key).or_insert(next)
            });
            if number != NONE {
                if number as usize == groups.members.len() {
                    groups.members.push(vec![]);
                }
                groups.members[number as usize].push(photo);
            }
            groups.group_of.push(number);
        }
        groups
    }

    fn group_of(&self, photo: usize) -> Option<usize> {
        let group = self.group_of[photo];
        (group != NONE).then_some(group as usize)
    }

    /// The photos of a photo's group, itself among them; none without a group.
    fn with(&self, photo: usize) -> &[usize] {
        self.group_of(photo)
            .map_or(&[][..], |group| &self.members[group])
    }
}

/// The groups of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Relations {
    /// Photos with the same name of an encounter.
    named: Groups,
    /// Photos of one whale on one day.
    days: Groups,
    near_duplicates: Groups,
    /// Encounters by name, else by whale and day.
    encounters: Groups,
}

impl Relations {
    pub(super) fn of(labels: &[PhotoLabel]) -> Self {
        let named = |label: &PhotoLabel| label.encounter.clone();
        let day = |label: &PhotoLabel| Some((label.whale.clone()?, label.date?.day()?));
        let encounter = |label: &PhotoLabel| match (named(label), day(label)) {
            (Some(name), _) => Some((Some(name), None)),
            (None, day) => day.map(|day| (None, Some(day))),
        };
        // The first photo of a group does not name itself.
        let firsts: std::collections::BTreeSet<&str> = labels
            .iter()
            .filter_map(|label| label.near_duplicate_of.as_deref())
            .collect();
        let near_duplicate = |label: &PhotoLabel| {
            let own = || {
                firsts
                    .contains(label.name.as_str())
                    .then(|| label.name.clone())
            };
            label.near_duplicate_of.clone().or_else(own)
        };
        Self {
            named: Groups::of(labels.iter().map(named)),
            days: Groups::of(labels.iter().map(day)),
            near_duplicates: Groups::of(labels.iter().map(near_duplicate)),
            encounters: Groups::of(labels.iter().map(encounter)),
        }
    }

    /// The number of a photo's encounter, by its name or else by whale and day.
    pub(super) fn encounter_of(&self, photo: usize) -> Option<usize> {
        self.encounters.group_of(photo)
    }

    /// Adds the photos that show the same meeting as `photo`, itself included.
    ///
    /// Two names of encounters are believed even on one day; a photo without such a name belongs to
    /// all photos of its whale on its day.
    pub(super) fn same_meeting(&self, photo: usize, into: &mut Vec<usize>) {
        into.push(photo);
        into.extend_from_slice(self.named.with(photo));
        into.extend_from_slice(self.near_duplicates.with(photo));
        let unnamed = self.named.group_of(photo).is_none();
        let same_day = self.days.with(photo).iter().copied();
        into.extend(same_day.filter(|&other| unnamed || self.named.group_of(other).is_none()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    /// Name, whale, encounter, day of June and first near-duplicate of a photo.
    type Row<'a> = (
        &'a str,
        &'a str,
        Option<&'a str>,
        Option<i8>,
        Option<&'a str>,
    );

    fn labels(rows: &[Row<'_>]) -> Vec<PhotoLabel> {
        rows.iter()
            .map(|(name, whale, encounter, day, first)| PhotoLabel {
                name: (*name).into(),
                whale: Some((*whale).into()),
                date: day.map(|day| date(2024, 6, day).into()),
                encounter: encounter.map(str::to_owned),
                near_duplicate_of: first.map(str::to_owned),
            })
            .collect()
    }

    fn same_meeting(relations: &Relations, photo: usize) -> Vec<usize> {
        let mut found = vec![];
        relations.same_meeting(photo, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn encounters_days_and_near_duplicates_belong_together() {
        let relations = Relations::of(&labels(&[
            ("0", "A", Some("e1"), Some(1), None),
            ("1", "A", Some("e1"), Some(2), None),
            ("2", "A", Some("e2"), Some(1), None),
            ("3", "A", None, Some(1), None),
            ("4", "A", None, Some(3), None),
            ("5", "A", None, Some(3), None),
            ("6", "B", None, Some(3), None),
            ("7", "A", None, None, Some("4")),
            ("8", "C", Some("e1"), None, None),
        ]));
        // An encounter may last two days and show two whales; a photo without its name may belong
        // to any of its day.
        assert_eq!(same_meeting(&relations, 0), [0, 1, 3, 8]);
        assert_eq!(same_meeting(&relations, 2), [2, 3]);
        assert_eq!(same_meeting(&relations, 3), [0, 2, 3]);
        assert_eq!(same_meeting(&relations, 4), [4, 5, 7]);
        assert_eq!(same_meeting(&relations, 6), [6]);
        assert_eq!(same_meeting(&relations, 7), [4, 7]);
        assert_eq!(relations.encounter_of(4), relations.encounter_of(5));
        assert_ne!(relations.encounter_of(5), relations.encounter_of(6));
        assert_eq!(relations.encounter_of(7), None);
    }
}
