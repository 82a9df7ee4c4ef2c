//! A bundle whose model passes the prepared pixels through, so that similar photos have similar
//! embeddings: it loads at once and still exercises preparation, engine, catalogue and decision.

use super::onnx::{bytes, passthrough_model};
use flukewatch_common::bundle::{Bundle, ModelInfo, NewBundle, Precision, View};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use image::RgbImage;

const HEIGHT: u32 = 8;
const WIDTH: u32 = 16;

/// The creation time of sample bundles.
pub const CREATED: &str = "2026-11-23T16:20:00.000Z";

/// A grey input of `height` x `width` pixels, stretched, without padding.
pub fn preparation(height: u32, width: u32) -> Preparation {
    Preparation {
        height,
        width,
        colour: Colour::Grey,
        fit: Fit::Stretch,
        padding: 0.0,
        mean: vec![127.0],
        std: vec![128.0],
    }
}

/// The description of an untrained model.
pub fn model_info(precision: Precision) -> ModelInfo {
    ModelInfo {
        architecture: "tiny".into(),
        precision,
        opset: 17,
        trained_on: "nothing".into(),
    }
}

/// A bundle with these whales enrolled, each with one photo that is all fluke, and `rule`.
///
/// # Panics
/// When a photo is empty or all of one grey.
pub fn passthrough_bundle(
    photos: impl IntoIterator<Item = (String, RgbImage)>,
    decision: DecisionRule,
) -> Bundle {
    let preparation = preparation(HEIGHT, WIDTH);
    let mut catalogue = Catalogue::new((HEIGHT * WIDTH) as usize);
    for (whale, photo) in photos {
        let whole = PixelBox::whole(photo.width(), photo.height());
        let pixels = preparation
            .pixels(&photo, whole)
            .expect("a photo has pixels");
        let values = preparation.normalise(&pixels, false).into_iter().collect();
        let entry = Enrolled {
            photo: format!("{whale}.jpg"),
            whale,
            source: "drawn".into(),
            ..Enrolled::default()
        };
        let embedding = Embedding::normalised(values).expect("a photo is not all of one grey");
        catalogue
            .enrol(entry, &embedding)
            .expect("the dimension is the catalogue's");
    }
    Bundle::new(NewBundle {
        name: "pixels",
        created: CREATED,
        preparation,
        views: vec![View::Plain],
        model_info: model_info(Precision::F32),
        model: bytes(&passthrough_model(HEIGHT, WIDTH)),
        catalogue,
        decision,
        card: "# pixels\n\nPasses pixels through; for tests.\n".into(),
    })
    .expect("its parts fit together")
}
