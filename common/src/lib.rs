//! Contracts shared by boat, workstation and shore.
//!
//! A photo becomes a prepared image ([`prepare`]), an engine (`flukewatch_inference`) turns that into an embedding
//! ([`embedding`]), the catalogue ranks the whales ([`catalogue`], [`whale_score`], [`local_matching`]), the decision rule says *known*, *new* or
//! *review* ([`decision`]), and the answer travels as a sighting ([`sighting`], [`position`], [`relative_position`], [`footage`], [`matching_regions`]) in a versioned
//! envelope ([`wire`]), over a slow link first in [`brief`]. The bundle ([`bundle`]) carries all that a boat needs for this; some of its configuration can be set from shore ([`boat_settings`]). A large picture travels in parts ([`picture_part`]). A detector finds flukes in frames,
//! each a [`detection`].

pub mod atomic_file;
pub mod boat_settings;
pub mod bounded_text;
pub mod brief;
pub mod broker_url;
pub mod bundle;
pub mod bundle_transfer;
pub mod catalogue;
pub mod clock;
pub mod decision;
pub mod detection;
pub mod embedding;
pub mod file_kind;
pub mod file_transfer;
pub mod footage;
pub mod input_area;
pub mod jpeg;
pub mod link_class;
pub mod link_report;
pub mod local_matching;
pub mod matching_regions;
pub mod message_digest;
pub mod password_file;
pub mod photo_files;
mod photo_limits;
pub mod picture_part;
pub mod pixel_box;
pub mod position;
pub mod prepare;
pub mod presence;
pub mod relative_position;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod severity;
pub mod sha256;
pub mod sidecar;
pub mod sighting;
pub mod status_report;
pub mod text;
pub mod topic;
pub mod whale_score;
pub mod wire;
