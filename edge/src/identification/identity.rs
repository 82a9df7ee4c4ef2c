//! The result of an identification.

use flukewatch_common::catalogue::Match;
use flukewatch_common::decision::Decision;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::EmbeddedPhoto;
use flukewatch_common::matching_regions::MatchingRegions;
use flukewatch_common::sighting::Sighting;
use uuid::Uuid;

/// What a model says about a recorded encounter.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Known, new or review.
    pub decision: Decision,
    /// The candidates, best first.
    pub candidates: Vec<Match>,
    /// The probability that the first candidate is right, where the bundle is calibrated.
    pub probability: Option<f32>,
    /// The encounter's embedding.
    pub embedding: Embedding,
    /// Which regions of the picture match the candidates' photos.
    pub regions: Option<MatchingRegions>,
    /// The id of the first sighting of the encounter that this one continues.
    pub continues: Option<Uuid>,
    /// The crops of that encounter's earlier sightings that the decision also uses.
    pub earlier_crops: u8,
    /// The embeddings of the recorded crops, without those that could not be embedded.
    pub embedded: Vec<EmbeddedPhoto>,
    /// The id of the bundle.
    pub bundle: String,
    /// The name of the engine.
    pub engine: String,
}

impl Identity {
    /// The id of the first sighting of the encounter of `sighting`.
    pub fn encounter(&self, sighting: Uuid) -> Uuid {
        self.continues.unwrap_or(sighting)
    }

    /// Writes the identity into its sighting.
    pub fn apply(&self, sighting: &mut Sighting) {
        sighting.verdict = self.decision.clone().into();
        sighting.candidates.clone_from(&self.candidates);
        sighting.probability = self.probability;
        sighting.embedding = self.embedding.compact();
        sighting.regions.clone_from(&self.regions);
        sighting.bundle.clone_from(&self.bundle);
        sighting.engine.clone_from(&self.engine);
        let encounter = self.encounter(sighting.id);
        if let Some(footage) = &mut sighting.footage {
            footage.encounter = encounter;
            footage.earlier_crops = self.earlier_crops;
        }
    }
}
