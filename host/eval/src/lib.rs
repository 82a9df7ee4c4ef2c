//! Evaluation of embeddings and detectors.
//!
//! [`embed`] turns photos into embeddings, [`gallery`] holds them with their labels and searches
//! them. [`protocols`] define the tests (is a whale found again? is a new one recognised as new?),
//! [`metrics`] compute the figures, [`results`] and [`compare`] put them together, [`report`] shows
//! them. [`calibration`] and [`enrol`] fit decision rules, [`audit`] finds mistakes in labels,
//! [`detector`] measures a detector of flukes, [`submission`] reads and writes contest files, [`training_overlap`]
//! finds photos that the model was trained on.

pub mod audit;
pub mod calibration;
pub mod compare;
pub mod detector;
pub mod embed;
pub mod embeddings_file;
pub mod enrol;
pub mod gallery;
pub mod kmeans;
pub mod metrics;
pub mod pca;
pub mod protocols;
pub mod report;
pub mod results;
pub mod submission;
pub mod training_overlap;
pub mod tsne;
