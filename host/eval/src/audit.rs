//! Finds mistakes in labelled photos.
//!
//! [`thumbnail`] and [`copies`] find near-duplicate photos, [`near_duplicates`] marks them for the protocols. [`neighbourhood`] computes the
//! nearest photos, [`impostor_tail`] how near different whales are by chance; [`identities`] and
//! [`suspect_labels`] report pairs that are nearer than that. [`findings`] collects the results under the
//! names of the collection, [`table`] formats them.

mod copies;
pub mod findings;
mod identities;
mod impostor_tail;
pub mod near_duplicates;
mod neighbourhood;
pub mod photos;
mod suspect_labels;
pub mod table;
pub mod thumbnail;
