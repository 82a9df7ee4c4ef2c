//! `frozen_blocks`: a number, or "none" to train everything, since TOML has no null.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const NONE: &str = "none";

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Blocks(usize),
    Word(String),
    Null(()),
}

pub(super) fn serialize<S: Serializer>(blocks: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
    match blocks {
        Some(n) => Form::Blocks(*n),
        None => Form::Word(NONE.into()),
    }
    .serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    match Form::deserialize(from) {
        Ok(Form::Blocks(n)) => Ok(Some(n)),
        Ok(Form::Null(())) => Ok(None),
        Ok(Form::Word(word)) if word == NONE => Ok(None),
        _ => Err(D::Error::custom(
            "frozen_blocks: expected a number of blocks or \"none\"",
        )),
    }
}
