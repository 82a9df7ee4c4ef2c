//! Whales by number: the search compares numbers, never names.

use std::collections::HashMap;

/// The whales that are or were in a catalogue.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<Box<str>>,
    photos: Vec<u32>,
    /// Made when a whale is first asked for by name: who only searches does without.
    numbers: Option<HashMap<Box<str>, u32>>,
}

impl Names {
    /// Whales numbered in this order; `None` where one is there twice.
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

    /// The number of the whale with this name, a new one if need be.
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

    /// A whale has a photo more.
    pub(super) fn add_photo(&mut self, whale: u32) {
        self.photos[whale as usize] += 1;
    }

    /// A whale has a photo less.
    pub(super) fn remove_photo(&mut self, whale: u32) {
        self.photos[whale as usize] -= 1;
    }

    /// The whale's name.
    pub(super) fn name(&self, whale: u32) -> &str {
        &self.names[whale as usize]
    }

    /// One more than the greatest number.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whales that have a photo.
    pub(super) fn with_photos(&self) -> usize {
        self.photos.iter().filter(|n| **n > 0).count()
    }
}
