//! Numbers for whales, so that the search compares numbers instead of names.

use std::collections::HashMap;

/// The whales of a catalogue, including those whose photos were all withdrawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<Box<str>>,
    photos: Vec<u32>,
    /// Built at the first lookup by name; searching alone does not need it.
    numbers: Option<HashMap<Box<str>, u32>>,
}

impl Names {
    /// Numbers whales in this order; `None` if a name occurs twice.
    pub(super) fn of(names: &[&str]) -> Option<Self> {
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        let twice = sorted.windows(2).any(|pair| pair[0] == pair[1]);
        (!twice).then(|| Self {
            names: names.iter().map(|n| Box::from(*n)).collect(),
            photos: vec![0; names.len()],
            numbers: None,
        })
    }

    /// The number of the whale with this name; an unknown name gets a new one.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        let Self {
            names,
            photos,
            numbers,
        } = self;
        let numbers = numbers.get_or_insert_with(|| names.iter().cloned().zip(0..).collect());
        if let Some(number) = numbers.get(name) {
            return *number;
        }
        let number = names.len() as u32;
        names.push(name.into());
        photos.push(0);
        numbers.insert(name.into(), number);
        number
    }

    /// Counts one photo more of a whale.
    pub(super) fn add_photo(&mut self, whale: u32) {
        self.photos[whale as usize] += 1;
    }

    /// Counts one photo less of a whale.
    pub(super) fn remove_photo(&mut self, whale: u32) {
        self.photos[whale as usize] -= 1;
    }

    /// The name of the whale with this number.
    pub(super) fn name(&self, whale: u32) -> &str {
        &self.names[whale as usize]
    }

    /// One more than the largest number.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The number of whales with at least one photo.
    pub(super) fn with_photos(&self) -> usize {
        self.photos.iter().filter(|n| **n > 0).count()
    }
}
