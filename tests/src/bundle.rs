//! A bundle whose model hands the prepared pixels through, so that what looks alike is alike: it loads in no time and still
//! goes the whole way of preparation, engine, catalogue and decision.

use crate::pictures::fluke;
use flukewatch_common::bundle::{Bundle, ModelInfo, Precision, View};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use image::RgbImage;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

const HEIGHT: u32 = 8;
const WIDTH: u32 = 16;

/// The name that whale `number` has in the catalogue.
pub fn name(number: u32) -> String {
    format!("W{number:02}")
}

/// A bundle that knows whales 0 up to, but not, `whales`, as [`fluke`] draws them.
///
/// # Panics
/// Never: its parts fit together.
pub fn tiny(whales: u32) -> Bundle {
    let photos = (0..whales).map(|number| (name(number), fluke(number)));
    of_photos(photos, DecisionRule::thresholds(0.8, 0.6, "nothing"))
}

/// A bundle that knows these whales, each by one photo that its fluke fills, and decides by `rule`.
///
/// # Panics
/// Never: its parts fit together.
pub fn of_photos(
    photos: impl IntoIterator<Item = (String, RgbImage)>,
    rule: DecisionRule,
) -> Bundle {
    let preparation = Preparation {
        height: HEIGHT,
        width: WIDTH,
        colour: Colour::Grey,
        fit: Fit::Stretch,
        margin: 0.0,
        mean: vec![127.0],
        deviation: vec![128.0],
    };
    let mut catalogue = Catalogue::new((HEIGHT * WIDTH) as usize);
    for (whale, photo) in photos {
        let whole = PixelBox::whole(photo.width(), photo.height());
        let pixels = preparation.pixels(&photo, whole).unwrap();
        let values = preparation.normalise(&pixels, false).into_iter().collect();
        let entry = Enrolled {
            photo: format!("{whale}.jpg"),
            whale,
            source: "drawn".into(),
        };
        catalogue
            .enrol(entry, &Embedding::normalised(values).unwrap())
            .unwrap();
    }
    Bundle::new(
        "pixels",
        "2026-11-23T16:20:00.000Z",
        preparation,
        vec![View::Plain],
        ModelInfo {
            architecture: "none".into(),
            precision: Precision::F32,
            opset: 17,
            trained_on: "nothing".into(),
        },
        pixels_through(),
        catalogue,
        rule,
        "# pixels\n\nHands pixels through; for tests.\n".into(),
    )
    .unwrap()
}

/// `[1, 1, HEIGHT, WIDTH]` in, the same numbers out as `[1, HEIGHT * WIDTH]`.
fn pixels_through() -> Vec<u8> {
    let (height, width) = (i64::from(HEIGHT), i64::from(WIDTH));
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "pixels".into(),
            node: vec![NodeProto {
                op_type: "Flatten".into(),
                name: "flatten".into(),
                input: vec!["image".into()],
                output: vec!["embedding".into()],
                ..NodeProto::default()
            }],
            input: vec![value("image", &[1, 1, height, width])],
            output: vec![value("embedding", &[1, height * width])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let side = |&d: &i64| Dimension {
        value: Some(dimension::Value::DimValue(d)),
        ..Dimension::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(side).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
