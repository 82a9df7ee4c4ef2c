//! Tables and folders of labelled photos: options that all commands have, and the notes about what
//! was read.

use clap::Args;
use flukewatch_dataset::{
    Dataset, DatasetError, ReadOptions, ReadingNotes, SamePhoto, TableSplit, splits,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct TableArgs {
    /// Read only the lines of a split: the value of the CSV's column 'split', e.g. train; or all
    #[arg(long, value_name = "NAME")]
    pub(super) split: Option<String>,
    /// Take a word such as 'none' or 'NA' as the name of a whale, not as an unnamed one (repeatable)
    #[arg(long = "allow-name", value_name = "NAME", allow_hyphen_values = true)]
    pub(super) allowed_names: Vec<String>,
}

/// The value of `--split` for all lines.
const ALL: &str = "all";

impl TableArgs {
    /// How to read a table or folder, by these options.
    pub(super) fn options(&self, photos: Option<&Path>) -> ReadOptions {
        ReadOptions {
            photos: photos.map(PathBuf::from),
            split: self.split.clone().filter(|split| split != ALL),
            allowed_names: self.allowed_names.clone(),
            ..ReadOptions::default()
        }
    }

    /// The splits of a table with a column `split`, unless `--split` chooses the lines.
    pub(super) fn splits(
        &self,
        data: &Path,
    ) -> Result<Option<BTreeMap<TableSplit, usize>>, DatasetError> {
        match self.split {
            Some(_) => Ok(None),
            None => splits(data),
        }
    }

    /// These arguments with `--split`.
    pub(super) fn with_split(&self, split: TableSplit) -> Self {
        Self {
            split: Some(split.name().to_owned()),
            ..self.clone()
        }
    }

    /// Reads photos; reports on stderr what a user should know.
    pub(super) fn read(
        &self,
        data: &Path,
        photos: Option<&Path>,
        same_photo: SamePhoto,
    ) -> anyhow::Result<(Dataset, ReadingNotes)> {
        let options = ReadOptions {
            same_photo,
            ..self.options(photos)
        };
        Self::read_as(data, &options)
    }

    /// Reads photos as `options` say.
    pub(super) fn read_as(
        data: &Path,
        options: &ReadOptions,
    ) -> anyhow::Result<(Dataset, ReadingNotes)> {
        let (dataset, notes) = Dataset::read(data, options)?;
        for note in texts(&notes) {
            eprintln!("{}: {note}", data.display());
        }
        Ok((dataset, notes))
    }
}

fn texts(notes: &ReadingNotes) -> Vec<String> {
    let mut all = vec![];
    let unnamed: usize = notes.unnamed.values().sum();
    if unnamed > 0 {
        let names = notes
            .unnamed
            .iter()
            .map(|(n, count)| format!("{count} '{n}'"));
        let names = names.collect::<Vec<_>>().join(", ");
        all.push(format!(
            "{unnamed} photos without the name of a whale: {names}; if it is a name: --allow-name NAME"
        ));
    }
    if let Some(first) = notes.repeated.first() {
        let place = |line: Option<u64>| line.map_or(String::new(), |l| format!(" (line {l})"));
        all.push(format!(
            "{} photos listed more than once, counted once; e.g. {}{} is {}{}",
            notes.repeated.len(),
            first.photo,
            place(first.line),
            first.kept,
            place(first.kept_line)
        ));
    }
    if let Some(categories) = notes.categories_as_whales {
        all.push(format!(
            "the annotations have no identity; their {categories} categories are taken as the names of whales"
        ));
    }
    if notes.unclear_boxes > 0 {
        all.push(format!(
            "{} photos with a box and a rotation; the columns width and height do not show which came first, so the boxes are taken as drawn on the upright photos",
            notes.unclear_boxes
        ));
    }
    all
}
