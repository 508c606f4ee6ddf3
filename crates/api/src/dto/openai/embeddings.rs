//! Embeddings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use services::{Embedded, EmbeddingOrder, EmbeddingSource};
use utoipa::ToSchema;

use super::unserved::unsupported;
use crate::ApiError;
use crate::dto::integer;

/// Texts of which vectors are to be made. `user` is ignored.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    /// A text, a list of texts, or the same in tokens of the very model that is asked: a list of numbers, or a list of such lists.
    #[schema(value_type = EmbeddingsInput)]
    input: Option<Value>,
    /// Which model; the default one if absent or empty.
    #[schema(example = "default")]
    model: Option<String>,
    /// `float` for numbers, or `base64` for the same as little-endian 32-bit floats, which is a quarter of the size.
    #[schema(example = "float")]
    encoding_format: Option<String>,
    /// How many numbers each vector is to have. A model that runs here gives as many as it is wide, and refuses anything else.
    #[schema(minimum = 1, maximum = 65_536)]
    #[serde(default, deserialize_with = "integer::optional")]
    dimensions: Option<i64>,
}

/// What vectors can be made of.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the document alone: what a client sends is read by hand, so that its errors can be told apart")]
pub(crate) enum EmbeddingsInput {
    /// One text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// One text in tokens.
    Tokens(Vec<u32>),
    /// Several.
    TokenLists(Vec<Vec<u32>>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VectorFormat {
    /// As numbers.
    Numbers,
    /// As little-endian 32-bit floats in base64.
    Base64,
}

impl EmbeddingsRequest {
    /// What is asked for, and how it is to be written.
    pub(crate) fn read(self) -> Result<(EmbeddingOrder, VectorFormat), ApiError> {
        let format = match self.encoding_format.as_deref() {
            None | Some("float") => VectorFormat::Numbers,
            Some("base64") => VectorFormat::Base64,
            Some(_) => return Err(unsupported("encoding_format", "must be float or base64")),
        };
        let model = self.model.filter(|name| !name.is_empty());
        Ok((EmbeddingOrder { inputs: sources(self.input)?, model, dimensions: self.dimensions }, format))
    }
}

/// One of the four forms of an input. A list without anything in it is left to the use case to refuse.
fn sources(input: Option<Value>) -> Result<Vec<EmbeddingSource>, ApiError> {
    match input {
        Some(Value::String(text)) => Ok(vec![EmbeddingSource::Text(text)]),
        Some(Value::Array(items)) if items.first().is_some_and(Value::is_number) => Ok(vec![tokens(&items)?]),
        Some(Value::Array(items)) if items.first().is_some_and(Value::is_array) => {
            items.iter().map(|item| item.as_array().ok_or_else(malformed).and_then(|items| tokens(items))).collect()
        }
        Some(Value::Array(items)) => {
            let text = |item| if let Value::String(text) = item { Ok(EmbeddingSource::Text(text)) } else { Err(malformed()) };
            items.into_iter().map(text).collect()
        }
        Some(_) | None => Err(malformed()),
    }
}

fn tokens(items: &[Value]) -> Result<EmbeddingSource, ApiError> {
    let token = |item: &Value| item.as_u64().and_then(|token| u32::try_from(token).ok()).ok_or_else(malformed);
    items.iter().map(token).collect::<Result<_, _>>().map(EmbeddingSource::Tokens)
}

fn malformed() -> ApiError {
    let problem = "input: must be a string, a list of strings, a list of token identifiers, or a list of such lists";
    ApiError::malformed(problem).about("input")
}

/// Vectors, in the order of the inputs.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// The vectors.
    data: Vec<EmbeddingDatum>,
    /// The model that made them.
    #[schema(example = "default")]
    model: String,
    /// Tokens read.
    usage: EmbeddingsUsage,
}

/// The vector of one input.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingDatum {
    /// Always `embedding`.
    #[schema(example = "embedding")]
    object: &'static str,
    /// Which input it belongs to.
    index: usize,
    /// The vector.
    embedding: VectorValue,
}

/// A vector, in the form that was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum VectorValue {
    /// Numbers.
    Numbers(Vec<f32>),
    /// Little-endian 32-bit floats in base64.
    Base64(String),
}

/// Tokens read. Nothing is made.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsUsage {
    /// Of all inputs together.
    prompt_tokens: u32,
    /// The same.
    total_tokens: u32,
}

impl EmbeddingsResponse {
    /// The answer, in the form that was asked for.
    pub(crate) fn new(embedded: Embedded, format: VectorFormat) -> Self {
        let Embedded { model, vectors, prompt_tokens } = embedded;
        let datum = |(index, vector): (usize, Vec<f32>)| EmbeddingDatum {
            object: "embedding",
            index,
            embedding: match format {
                VectorFormat::Numbers => VectorValue::Numbers(vector),
                VectorFormat::Base64 => VectorValue::Base64(base64_of(&vector)),
            },
        };
        let data = vectors.into_iter().enumerate().map(datum).collect();
        let usage = EmbeddingsUsage { prompt_tokens, total_tokens: prompt_tokens };
        Self { object: "list", data, model: model.to_string(), usage }
    }
}

fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<(EmbeddingOrder, VectorFormat), ApiError> {
        serde_json::from_value::<EmbeddingsRequest>(body).unwrap().read()
    }

    #[test]
    fn an_input_comes_in_four_forms() {
        let text = |words: &str| EmbeddingSource::Text(words.to_owned());
        for (input, expected) in [
            (json!("a wolf"), vec![text("a wolf")]),
            (json!(["a", "b"]), vec![text("a"), text("b")]),
            (json!([1, 2]), vec![EmbeddingSource::Tokens(vec![1, 2])]),
            (json!([[1, 2], [3]]), vec![EmbeddingSource::Tokens(vec![1, 2]), EmbeddingSource::Tokens(vec![3])]),
            (json!([]), vec![]),
            (json!([[]]), vec![EmbeddingSource::Tokens(vec![])]),
        ] {
            assert!(read(json!({ "input": input })).unwrap().0.inputs == expected, "{input}");
        }
        let mixed =
            [json!(["a", 1]), json!([1, "a"]), json!([[1], "a"]), json!([[1], 2]), json!([["a"]]), json!([-1]), json!([0.5])];
        for input in [json!(null), json!(7), json!({}), json!([1_u64 << 32])].into_iter().chain(mixed) {
            assert_eq!(read(json!({ "input": input })).err().unwrap().param(), Some("input"), "{input}");
        }
    }

    #[test]
    fn a_vector_in_base64_is_its_bytes_the_lowest_first() {
        assert_eq!(base64_of(&[1.0, -2.5]), STANDARD.encode([0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]));
        assert_eq!(read(json!({"input": "a", "encoding_format": "base64"})).unwrap().1, VectorFormat::Base64);
        assert_eq!(read(json!({"input": "a"})).unwrap().1, VectorFormat::Numbers);
        let refusal = read(json!({"input": "a", "encoding_format": "int8"})).err().unwrap();
        assert_eq!(refusal.param(), Some("encoding_format"));
    }
}
