//! A bundle whose model hands the prepared pixels through, so that what looks alike is alike, and pictures to show it.

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
/// Where [`frame`] draws the fluke.
pub(crate) const FLUKE: PixelBox = PixelBox {
    x0: 40,
    y0: 30,
    x1: 104,
    y1: 62,
};

/// A bundle that knows the whales `W0` to `W{enrolled - 1}`, as [`fluke`] draws them.
pub(crate) fn bundle(enrolled: u32) -> Bundle {
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
    for number in 0..enrolled {
        let photo = fluke(number);
        let pixels = preparation
            .pixels(&photo, PixelBox::whole(photo.width(), photo.height()))
            .unwrap();
        let values = preparation.normalise(&pixels, false).into_iter().collect();
        let entry = Enrolled {
            whale: format!("W{number}"),
            photo: format!("w{number}.jpg"),
            source: "test".into(),
        };
        catalogue
            .enrol(entry, &Embedding::normalised(values).unwrap())
            .unwrap();
    }
    let info = ModelInfo {
        architecture: "none".into(),
        precision: Precision::F32,
        opset: 17,
        trained_on: "nothing".into(),
    };
    let rule = DecisionRule::thresholds(0.8, 0.6, "nothing");
    let created = "2026-11-23T16:20:00.000Z";
    Bundle::new(
        "pixels",
        created,
        preparation,
        vec![View::Plain],
        info,
        model(),
        catalogue,
        rule,
        String::new(),
    )
    .unwrap()
}

/// `[1, 1, HEIGHT, WIDTH]` in, the same numbers out as `[1, HEIGHT * WIDTH]`.
fn model() -> Vec<u8> {
    let flatten = NodeProto {
        op_type: "Flatten".into(),
        name: "flatten".into(),
        input: vec!["image".into()],
        output: vec!["embedding".into()],
        ..NodeProto::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "pixels".into(),
            node: vec![flatten],
            input: vec![value("image", &[1, 1, i64::from(HEIGHT), i64::from(WIDTH)])],
            output: vec![value("embedding", &[1, i64::from(HEIGHT * WIDTH)])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|&d| Dimension {
            value: Some(dimension::Value::DimValue(d)),
            ..Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
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

/// The fluke of whale `number`: a chequered pattern of its own.
pub(crate) fn fluke(number: u32) -> RgbImage {
    let light = |cell: u32| {
        let mut state = cell
            .wrapping_add(number.wrapping_mul(7919))
            .wrapping_add(1)
            .wrapping_mul(2_654_435_761);
        state ^= state >> 15;
        state = state.wrapping_mul(2_246_822_519);
        state >> 31 == 0
    };
    RgbImage::from_fn(FLUKE.width(), FLUKE.height(), |x, y| {
        image::Rgb([if light(y / 4 * 64 + x / 4) { 220 } else { 30 }; 3])
    })
}

/// Open sea with the fluke of whale `number` at [`FLUKE`].
pub(crate) fn frame(number: u32) -> RgbImage {
    let mut frame = RgbImage::from_pixel(160, 90, image::Rgb([90, 110, 130]));
    image::imageops::replace(
        &mut frame,
        &fluke(number),
        i64::from(FLUKE.x0),
        i64::from(FLUKE.y0),
    );
    frame
}
