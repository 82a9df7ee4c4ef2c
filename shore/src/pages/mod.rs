//! The HTML pages.
//!
//! | path | content |
//! |---|---|
//! | `/` | sightings, newest first; `?boat=&verdict=&page=` |
//! | `/sightings/{id}` | one sighting beside its candidates |
//! | `/boats` | boats: status, offered bundle, last contact and missing sightings |
//! | `/rejected` | rejected messages |
//! | `/pictures/{id}.jpg` | the picture of a sighting |
//! | `/files/{request}` | a clip or recording that a boat has sent |
//! | `/files/{request}/crop-{n}.jpg` | a crop of such a recording |
//! | `/photos/{name}` | a photo of the catalogue, if shore was started with one |

mod assets;
mod boat_settings;
mod boats;
mod bundle_transfer;
mod error;
mod files;
mod format;
mod images;
mod matching_regions;
mod rejected;
mod sighting;
mod sightings;

pub(crate) use error::not_found;

use crate::request::AppState;
use axum::Router;
use axum::routing::get;

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(sightings::page))
        .route("/sightings/{id}", get(sighting::page))
        .route("/boats", get(boats::page))
        .route("/rejected", get(rejected::page))
        .route("/pictures/{file}", get(images::picture))
        .route("/files/{id}", get(files::file))
        .route("/files/{id}/{crop}", get(files::crop))
        .route("/photos/{*name}", get(images::photo))
        .route("/assets/shore.css", get(assets::stylesheet))
        .route("/assets/live.js", get(assets::script))
}
