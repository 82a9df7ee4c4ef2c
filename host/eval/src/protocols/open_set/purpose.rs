//! What a query is used for. Figures that are reported come from queries that neither fitted nor
//! selected anything: the functions of each step take queries of one purpose only.

/// The purpose of a whale's queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Thresholds and calibrators are fitted on it.
    Fit,
    /// Settings are selected on it, e.g. the whale score.
    Select,
    /// Results are reported on it.
    Report,
}

/// A purpose as a type.
pub trait Use {
    /// The purpose.
    const PURPOSE: Purpose;
}

/// Marks queries to fit on.
#[derive(Clone, Copy, Debug)]
pub struct Fit;
/// Marks queries to select on.
#[derive(Clone, Copy, Debug)]
pub struct Select;
/// Marks queries to report on.
#[derive(Clone, Copy, Debug)]
pub struct Report;

impl Use for Fit {
    const PURPOSE: Purpose = Purpose::Fit;
}

impl Use for Select {
    const PURPOSE: Purpose = Purpose::Select;
}

impl Use for Report {
    const PURPOSE: Purpose = Purpose::Report;
}
