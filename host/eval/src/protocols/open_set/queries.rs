//! The queries of trials for one purpose.

use crate::protocols::open_set::purpose::Use;
use crate::protocols::open_set::trial::{Query, Trial};
use flukewatch_common::decision::{CalibrationCase, RankingFeatures};
use std::marker::PhantomData;

/// The queries of one or several trials for the purpose `U`.
#[derive(Clone, Debug)]
pub struct QueriesFor<'a, U> {
    queries: Vec<&'a Query>,
    purpose: PhantomData<U>,
}

impl<'a, U: Use> QueriesFor<'a, U> {
    /// The queries of `trials` for this purpose.
    pub fn of(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let queries = trials.into_iter().flat_map(|trial| &trial.queries);
        Self {
            queries: queries.filter(|q| q.purpose == U::PURPOSE).collect(),
            purpose: PhantomData,
        }
    }

    /// The queries.
    pub fn iter(&self) -> impl Iterator<Item = &'a Query> {
        self.queries.iter().copied()
    }

    /// Best scores of the known or the new queries; none of an empty ranking.
    pub fn scores(&self, known: bool) -> Vec<f32> {
        self.iter()
            .filter(|q| q.is_known() == known && !q.top.is_empty())
            .map(Query::score)
            .collect()
    }

    /// The rankings, to fit a probability on.
    pub fn cases(&self) -> Vec<CalibrationCase> {
        self.iter().filter_map(Query::case).collect()
    }

    /// Rankings: features, and whether the top-1 whale is right.
    pub fn rankings(&self) -> Vec<(RankingFeatures, bool)> {
        self.iter()
            .filter_map(|q| Some((q.features()?, q.is_correct())))
            .collect()
    }
}
