//! The labelled photos of a command: opened, checked before the work, and what was skipped reported at the end.

use super::data::TableArgs;
use anyhow::{anyhow, bail};
use clap::Args;
use flukewatch_dataset::{
    Dataset, LabelledPhoto, ReadOptions, ReadingNotes, SamePhoto, TableSplit, find_broken,
};
use flukewatch_progress::bar_unless;
use flukewatch_train::embedding::split::join_splits;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The option of all commands that read photos.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct SkipBroken {
    /// Skip and report photos that cannot be read. Without it any such photo is an error, found
    /// before the work starts
    #[arg(long)]
    skip_broken: bool,
}

/// A dataset of the command line. When it is dropped, one line on stderr says which files were skipped.
pub(super) struct LabelledData {
    pub(super) dataset: Dataset,
    pub(super) notes: ReadingNotes,
    path: PathBuf,
    broken: Vec<String>,
}

impl SkipBroken {
    /// Whether broken photos are left out.
    pub(super) fn is_set(self) -> bool {
        self.skip_broken
    }
}

impl LabelledData {
    /// Opens a table or folder, in which each photo counts once.
    pub(super) fn open(
        table: &TableArgs,
        path: &Path,
        photos: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Self::open_as(table, path, photos, SamePhoto::Content)
    }

    /// Opens the photos to train on and to validate on: of a table with a column `split` without the
    /// lines `test`, and with the names of the whales of the lines `validation`, if there are any.
    pub(super) fn open_for_training(
        table: &TableArgs,
        path: &Path,
        photos: Option<&Path>,
    ) -> anyhow::Result<(Self, Option<BTreeSet<String>>)> {
        let open = |table: &TableArgs| Self::open(table, path, photos);
        let Some(splits) = table.splits(path)? else {
            return Ok((open(table)?, None));
        };
        let name = path.display();
        let lines = |split| splits.get(&split).copied().unwrap_or(0);
        eprintln!(
            "{name}: column split: {} lines train, {} validate, {} of split test are not read",
            lines(TableSplit::Train),
            lines(TableSplit::Validation),
            lines(TableSplit::Test)
        );
        let mut data = open(&table.with_split(TableSplit::Train))?;
        if lines(TableSplit::Validation) == 0 {
            return Ok((data, None));
        }
        let validation = open(&table.with_split(TableSplit::Validation))?;
        let whales = join_splits(&mut data.dataset, &validation.dataset)
            .map_err(|e| anyhow!("{name}: {e}"))?;
        Ok((data, Some(whales)))
    }

    /// As [`Self::open`], with another rule for photos that are listed more than once.
    pub(super) fn open_as(
        table: &TableArgs,
        path: &Path,
        photos: Option<&Path>,
        same_photo: SamePhoto,
    ) -> anyhow::Result<Self> {
        let (dataset, notes) = table.read(path, photos, same_photo)?;
        Ok(Self::of(path, dataset, notes))
    }

    /// Opens a table or folder for its labels: photos of a table may be missing.
    pub(super) fn open_labels(
        table: &TableArgs,
        path: &Path,
        photos: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let options = ReadOptions {
            may_lack_photos: true,
            ..table.options(photos)
        };
        let (dataset, notes) = TableArgs::read_as(path, &options)?;
        Ok(Self::of(path, dataset, notes))
    }

    /// Opens all photos of a folder, without labels.
    pub(super) fn open_unlabelled(folder: &Path) -> anyhow::Result<Self> {
        let dataset = Dataset::unlabelled(folder)?;
        Ok(Self::of(folder, dataset, ReadingNotes::default()))
    }

    fn of(path: &Path, dataset: Dataset, notes: ReadingNotes) -> Self {
        Self {
            dataset,
            notes,
            path: path.to_owned(),
            broken: vec![],
        }
    }

    /// Keeps the photos that the command reads.
    pub(super) fn retain(&mut self, read: impl FnMut(&LabelledPhoto) -> bool) {
        self.dataset.photos.retain(read);
    }

    /// Names every photo that cannot be read; it is left out with `--skip-broken`, else an error.
    pub(super) fn check(&mut self, skip: SkipBroken, quiet: bool) -> anyhow::Result<()> {
        self.check_those(skip, quiet, |_| true)
    }

    /// As [`Self::check`], but only of the photos that are `read`.
    pub(super) fn check_those(
        &mut self,
        skip: SkipBroken,
        quiet: bool,
        read: impl Fn(&LabelledPhoto) -> bool + Sync,
    ) -> anyhow::Result<()> {
        let photos = &mut self.dataset.photos;
        let progress = bar_unless(quiet, photos.len() as u64, "checking");
        let broken = find_broken(photos, read, || progress.inc(1));
        progress.finish_and_clear();
        for photo in &broken {
            let what = if skip.skip_broken {
                "skipped"
            } else {
                "broken"
            };
            eprintln!("{what}: {}", photo.error);
        }
        if !broken.is_empty() && !skip.skip_broken {
            bail!(
                "{}: {} of {} photos cannot be read; nothing was done; mend them, or leave them out with --skip-broken",
                self.path.display(),
                broken.len(),
                photos.len()
            );
        }
        for photo in broken.iter().rev() {
            photos.remove(photo.position);
        }
        self.broken
            .extend(broken.iter().map(|photo| photo.error.to_string()));
        if photos.is_empty() {
            bail!("{}: none of the photos can be read", self.path.display());
        }
        Ok(())
    }
}

impl Drop for LabelledData {
    fn drop(&mut self) {
        let path = self.path.display();
        if !self.dataset.skipped.is_empty() {
            eprintln!("{path}: {}", self.dataset.skipped);
        }
        if let [first, ..] = &self.broken[..] {
            eprintln!(
                "{path}: skipped {} photos that cannot be read, e.g. {first}",
                self.broken.len()
            );
        }
    }
}
