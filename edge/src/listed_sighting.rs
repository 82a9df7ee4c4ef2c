//! A sighting as JSON, for people and programs on board.

use crate::outbox::Recent;
use flukewatch_common::decision::Verdict;
use serde::Serialize;
use uuid::Uuid;

/// A sighting in the API of the boat's page and on the mirror.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ListedSighting {
    pub(crate) id: Uuid,
    sequence: u64,
    camera: String,
    started_at: String,
    seconds: f64,
    frames: u32,
    pub(crate) verdict: &'static str,
    pub(crate) whale: Option<String>,
    /// Why the encounter is not identified.
    reason: Option<String>,
    probability: Option<f32>,
    candidates: Vec<ListedCandidate>,
    position: Option<[f64; 2]>,
    acknowledged: bool,
    picture_acknowledged: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ListedCandidate {
    whale: String,
    score: f32,
}

impl ListedSighting {
    pub(crate) fn of(recent: Recent) -> Self {
        let Recent {
            sighting: s,
            acknowledged,
            picture_acknowledged,
        } = recent;
        let (verdict, whale, reason) = match s.verdict {
            Verdict::Known { whale } => ("known", Some(whale), None),
            Verdict::New => ("new", None, None),
            Verdict::Review => ("review", None, None),
            Verdict::Unidentified { reason } => ("unidentified", None, Some(reason)),
        };
        Self {
            id: s.id,
            sequence: s.sequence,
            camera: s.camera,
            started_at: s.started.to_string(),
            seconds: s.ended.millis_since(s.started) as f64 / 1000.0,
            frames: s.frames,
            verdict,
            whale,
            reason,
            probability: s.probability,
            candidates: s
                .candidates
                .into_iter()
                .map(|c| ListedCandidate {
                    whale: c.whale,
                    score: c.score,
                })
                .collect(),
            position: s.position.map(|p| [p.latitude, p.longitude]),
            acknowledged,
            picture_acknowledged,
        }
    }
}
