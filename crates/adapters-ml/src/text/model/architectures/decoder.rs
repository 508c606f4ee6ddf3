//! What Llama and its kin compute: rotary positions, root-mean-square normalisation, a gated feed-forward, heads that share keys and values.

use super::rope::Rope;
use super::{Architecture, EmbeddingTensors, ModelShape};
use crate::text::model::LoadError;
use crate::text::model::checkpoint::Checkpoint;
use crate::text::model::config::{ConfigFile, bounds};
use crate::text::model::graph::{Attention, GraphBuilder, Norm, Product, Rows, Value};
use crate::text::model::weights::Matrix;

/// In what the families differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// Biases on queries, keys and values.
    pub(super) packed_bias: bool,
    /// A bias after attention.
    pub(super) output_bias: bool,
    /// Biases in the feed-forward.
    pub(super) inner_bias: bool,
    /// How many tokens one sees, itself included, where not all.
    pub(super) window: Option<usize>,
    pub(super) epsilon: f64,
}

/// A model of this kind.
pub(super) struct Decoder {
    shape: ModelShape,
    traits: Traits,
    rope: Rope,
    epsilon: f32,
    tied: bool,
}

impl Decoder {
    /// Reads the fields that the families share (names of `transformers.LlamaConfig`).
    pub(super) fn new(config: &ConfigFile, traits: Traits) -> Result<Self, LoadError> {
        let width = config.integer("hidden_size", bounds::WIDTH)?;
        let heads = config.integer("num_attention_heads", bounds::HEADS)?;
        let kv_heads = config.optional_integer("num_key_value_heads", bounds::HEADS)?.unwrap_or(heads);
        if heads % kv_heads != 0 {
            return Err(
                config.refuse("num_key_value_heads", format!("{kv_heads} does not divide num_attention_heads, which is {heads}"))
            );
        }
        let head_size = match config.optional_integer("head_dim", bounds::HEAD_SIZE)? {
            Some(head_size) => head_size,
            None if width % heads == 0 => width / heads,
            None => {
                return Err(
                    config.refuse("num_attention_heads", format!("{heads} does not divide hidden_size, which is {width}"))
                );
            }
        };
        // Rotary positions turn pairs of features.
        if head_size % 2 != 0 {
            return Err(config.refuse("head_dim", format!("is {head_size}; an even number is supported")));
        }
        match config.text("hidden_act")?.unwrap_or("silu") {
            "silu" | "swish" => {}
            other => return Err(config.refuse("hidden_act", format!("{other:?} is not supported; silu is"))),
        }
        let shape = ModelShape {
            layers: config.integer("num_hidden_layers", bounds::LAYERS)?,
            width,
            heads,
            kv_heads,
            head_size,
            inner: config.integer("intermediate_size", bounds::INNER)?,
            vocabulary: config.integer("vocab_size", bounds::VOCABULARY)?,
            context_length: config.integer("max_position_embeddings", bounds::CONTEXT)?,
            matrix_elements: 0,
        };
        let layer = width * shape.packed_width() + heads * head_size * width + 3 * width * shape.inner;
        let matrix_elements = (shape.layers * layer + width * shape.vocabulary) as u64;
        Ok(Self {
            shape: ModelShape { matrix_elements, ..shape },
            traits,
            rope: Rope::new(config)?,
            #[expect(clippy::cast_possible_truncation, reason = "the model computes in 32 bits")]
            epsilon: config.number("rms_norm_eps", bounds::EPSILON, traits.epsilon)? as f32,
            tied: config.flag("tie_word_embeddings", false)?,
        })
    }

    fn norm(&self, graph: &mut GraphBuilder<'_>, name: &str) -> Result<Norm, LoadError> {
        Ok(Norm { weight: graph.vector(&format!("{name}.weight"), self.shape.width)?, bias: None, epsilon: self.epsilon })
    }

    fn attention(
        &self,
        graph: &mut GraphBuilder<'_>,
        layer: &str,
        index: usize,
        rows: &Rows,
        rotary: &(Value, Value),
    ) -> Result<Product, LoadError> {
        let ModelShape { width, heads, kv_heads, head_size, .. } = self.shape;
        let name = |part: &str| format!("{layer}.self_attn.{part}_proj");
        let parts = [(name("q"), heads * head_size), (name("k"), kv_heads * head_size), (name("v"), kv_heads * head_size)];
        let packed = linear(graph, &parts, rows, width, self.traits.packed_bias)?;
        #[expect(clippy::cast_precision_loss, reason = "head sizes are bounded far below 2^24")]
        let scale = 1.0 / (head_size as f32).sqrt();
        let attention = Attention { heads, kv_heads, scale, rotary: Some(rotary), window: self.traits.window };
        let context = graph.attention(index, packed, &attention)?;
        linear(graph, &[(name("o"), width)], &context, heads * head_size, self.traits.output_bias)
    }

    fn feed_forward(&self, graph: &mut GraphBuilder<'_>, layer: &str, rows: &Rows) -> Result<Product, LoadError> {
        let ModelShape { width, inner, .. } = self.shape;
        let name = |part: &str| format!("{layer}.mlp.{part}_proj");
        let wide = linear(graph, &[(name("gate"), inner), (name("up"), inner)], rows, width, self.traits.inner_bias)?;
        let gated = graph.gate(wide, inner)?;
        linear(graph, &[(name("down"), width)], &gated, inner, self.traits.inner_bias)
    }
}

impl Architecture for Decoder {
    fn shape(&self) -> ModelShape {
        self.shape
    }

    fn embeddings(&self, checkpoint: &Checkpoint) -> Result<EmbeddingTensors, LoadError> {
        let name = format!("{}embed_tokens.weight", prefix(|name| checkpoint.contains(name)));
        let tokens = checkpoint.tensor(&name, &[self.shape.vocabulary, self.shape.width])?.clone();
        Ok(EmbeddingTensors { tokens, positions: None })
    }

    fn build(&self, graph: &mut GraphBuilder<'_>, tokens: usize) -> Result<(), LoadError> {
        let ModelShape { layers, width, vocabulary, head_size, .. } = self.shape;
        let prefix = prefix(|name| graph.contains(name));
        let (cosines, sines) = self.rope.tables(tokens, head_size);
        let table = [tokens, head_size / 2];
        let rotary = (graph.table(table, cosines), graph.table(table, sines));
        let mut residual = "embeddings".to_owned();
        let mut last_norm = self.norm(graph, &format!("{prefix}layers.0.input_layernorm"))?;
        let mut rows = graph.normalise(&residual, &last_norm)?;
        for index in 0..layers {
            let layer = format!("{prefix}layers.{index}");
            let attended = self.attention(graph, &layer, index, &rows, &rotary)?;
            let before_inner = self.norm(graph, &format!("{layer}.post_attention_layernorm"))?;
            (rows, residual) = graph.add_normalise(attended, &residual, &before_inner)?;
            let transformed = self.feed_forward(graph, &layer, &rows)?;
            let next = if index + 1 < layers { format!("layers.{}.input_layernorm", index + 1) } else { "norm".to_owned() };
            last_norm = self.norm(graph, &format!("{prefix}{next}"))?;
            (rows, residual) = graph.add_normalise(transformed, &residual, &last_norm)?;
        }
        graph.hidden_states(&rows, &residual, last_norm);
        let head = if self.tied { format!("{prefix}embed_tokens.weight") } else { "lm_head.weight".to_owned() };
        let head = graph.tensor(&head, &[vocabulary, width])?;
        graph.logits(rows, Matrix { parts: vec![head], outputs_first: true, inputs: width, outputs: vocabulary })
    }
}

/// `model.` where the file was saved with its language-model head, nothing where it was saved without.
fn prefix(has: impl Fn(&str) -> bool) -> &'static str {
    if has("model.embed_tokens.weight") { "model." } else { "" }
}

/// Layers of `torch.nn.Linear` that read the same rows, side by side in one matrix. `parts` are names and numbers of outputs.
fn linear(
    graph: &mut GraphBuilder<'_>,
    parts: &[(String, usize)],
    rows: &Rows,
    inputs: usize,
    with_bias: bool,
) -> Result<Product, LoadError> {
    let tensors = parts.iter().map(|(name, outputs)| graph.tensor(&format!("{name}.weight"), &[*outputs, inputs]));
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    let bias_parts: Vec<_> = parts.iter().map(|(name, outputs)| (format!("{name}.bias"), *outputs)).collect();
    let bias = if with_bias { Some(graph.vectors(&bias_parts)?) } else { None };
    let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
    graph.linear(rows, Matrix { parts: tensors, outputs_first: true, inputs, outputs }, bias)
}
