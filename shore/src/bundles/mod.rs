//! Bundles that the station offers to boats, over the air.
//!
//! `offer` and `withdraw` change files of the data folder, so that they work while the station runs; it
//! follows them:
//!
//! | file | content |
//! |---|---|
//! | `bundles/<SHA-256 of the manifest>/` | a bundle, as a folder: the [`Library`] |
//! | `offers/<boat>.json` | the [`Offer`] to a boat: the [`OfferFolder`] |
//! | `offers/lock` | locked by who changes one of these |
//!
//! [`OpenOffers`] is what a running station offers. A boat's reports are in the store, with the
//! history of all offers.

mod error;
mod library;
mod offer;
mod offer_folder;
mod open_offers;
mod stored_bundle;

pub use error::BundlesError;
pub use library::{KEPT_BUNDLES, Library, Signing};
pub use offer::Offer;
pub use offer_folder::{OfferFolder, OffersLock};
pub use open_offers::{OfferWatch, OpenOffer, OpenOffers, Opened};
pub use stored_bundle::{StoredBundle, StoredContent};
