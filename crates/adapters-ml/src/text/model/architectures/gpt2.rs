//! GPT-2 (Radford et al. 2019): learned positions, layer normalisation before attention and before the two matrices of a layer.

use super::{Architecture, EmbeddingTensors, ModelShape};
use crate::text::model::LoadError;
use crate::text::model::checkpoint::Checkpoint;
use crate::text::model::config::{ConfigFile, bounds};
use crate::text::model::graph::{Activation, Attention, GraphBuilder, Norm, Product, Rows};
use crate::text::model::weights::Matrix;

/// A GPT-2 configuration.
pub(super) struct Gpt2 {
    shape: ModelShape,
    epsilon: f32,
    activation: Activation,
    scale_by_head: bool,
    scale_by_layer: bool,
    tied: bool,
}

impl Gpt2 {
    /// Reads the configuration (fields and defaults of `transformers.GPT2Config`).
    pub(super) fn new(config: &ConfigFile) -> Result<Self, LoadError> {
        let width = config.integer("n_embd", bounds::WIDTH)?;
        let heads = config.integer("n_head", bounds::HEADS)?;
        if width % heads != 0 {
            return Err(config.refuse("n_head", format!("{heads} does not divide n_embd, which is {width}")));
        }
        let inner = config.optional_integer("n_inner", bounds::INNER)?.unwrap_or(4 * width);
        let layers = config.integer("n_layer", bounds::LAYERS)?;
        let vocabulary = config.integer("vocab_size", bounds::VOCABULARY)?;
        config.must_be("add_cross_attention", false)?;
        let matrices = layers * (4 * width * width + 2 * width * inner) + width * vocabulary;
        let shape = ModelShape {
            layers,
            width,
            heads,
            kv_heads: heads,
            head_size: width / heads,
            inner,
            vocabulary,
            context_length: config.integer("n_positions", bounds::CONTEXT)?,
            matrix_elements: matrices as u64,
        };
        Ok(Self {
            shape,
            #[expect(clippy::cast_possible_truncation, reason = "the model computes in 32 bits")]
            epsilon: config.number("layer_norm_epsilon", bounds::EPSILON, 1e-5)? as f32,
            activation: activation(config)?,
            scale_by_head: config.flag("scale_attn_weights", true)?,
            scale_by_layer: config.flag("scale_attn_by_inverse_layer_idx", false)?,
            tied: config.flag("tie_word_embeddings", true)?,
        })
    }
}

fn activation(config: &ConfigFile) -> Result<Activation, LoadError> {
    match config.text("activation_function")?.unwrap_or("gelu_new") {
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "gelu" => Ok(Activation::GeluErf),
        "relu" => Ok(Activation::Relu),
        other => Err(config.refuse("activation_function", format!("{other:?} is not supported; gelu_new, gelu and relu are"))),
    }
}

/// `transformer.` where the file was saved with its language-model head, nothing where it was saved without.
fn prefix(has: impl Fn(&str) -> bool) -> &'static str {
    if has("transformer.wte.weight") { "transformer." } else { "" }
}

impl Architecture for Gpt2 {
    fn shape(&self) -> ModelShape {
        self.shape
    }

    fn embeddings(&self, checkpoint: &Checkpoint) -> Result<EmbeddingTensors, LoadError> {
        let ModelShape { width, vocabulary, context_length, .. } = self.shape;
        let prefix = prefix(|name| checkpoint.contains(name));
        Ok(EmbeddingTensors {
            tokens: checkpoint.tensor(&format!("{prefix}wte.weight"), &[vocabulary, width])?.clone(),
            positions: Some(checkpoint.tensor(&format!("{prefix}wpe.weight"), &[context_length, width])?.clone()),
        })
    }

    fn build(&self, graph: &mut GraphBuilder<'_>, _tokens: usize) -> Result<(), LoadError> {
        let ModelShape { layers, width, vocabulary, .. } = self.shape;
        let prefix = prefix(|name| graph.contains(name));
        let norm = |graph: &mut GraphBuilder<'_>, name: String| -> Result<Norm, LoadError> {
            let name = format!("{prefix}{name}");
            let weight = graph.vector(&format!("{name}.weight"), width)?;
            let bias = Some(graph.vector(&format!("{name}.bias"), width)?);
            Ok(Norm { weight, bias, epsilon: self.epsilon })
        };
        let mut residual = "embeddings".to_owned();
        let mut last_norm = norm(graph, "h.0.ln_1".to_owned())?;
        let mut rows = graph.normalise(&residual, &last_norm)?;
        for layer in 0..layers {
            let attended = self.attention(graph, prefix, layer, &rows)?;
            let before_inner = norm(graph, format!("h.{layer}.ln_2"))?;
            (rows, residual) = graph.add_normalise(attended, &residual, &before_inner)?;
            let transformed = self.feed_forward(graph, prefix, layer, &rows)?;
            let next = if layer + 1 < layers { format!("h.{}.ln_1", layer + 1) } else { "ln_f".to_owned() };
            last_norm = norm(graph, next)?;
            (rows, residual) = graph.add_normalise(transformed, &residual, &last_norm)?;
        }
        graph.hidden_states(&rows, &residual, last_norm);
        let head = if self.tied { format!("{prefix}wte.weight") } else { "lm_head.weight".to_owned() };
        let head = Matrix {
            parts: vec![graph.tensor(&head, &[vocabulary, width])?],
            outputs_first: true,
            inputs: width,
            outputs: vocabulary,
        };
        graph.logits(rows, head)
    }
}

impl Gpt2 {
    fn attention(&self, graph: &mut GraphBuilder<'_>, prefix: &str, layer: usize, rows: &Rows) -> Result<Product, LoadError> {
        let ModelShape { width, heads, kv_heads, head_size, .. } = self.shape;
        let packed = linear(graph, &format!("{prefix}h.{layer}.attn.c_attn"), rows, [width, 3 * width])?;
        #[expect(clippy::cast_precision_loss, reason = "layers and head sizes are bounded far below 2^24")]
        let scale = {
            let by_head = if self.scale_by_head { (head_size as f32).sqrt() } else { 1.0 };
            let by_layer = if self.scale_by_layer { (layer + 1) as f32 } else { 1.0 };
            1.0 / (by_head * by_layer)
        };
        let attention = Attention { heads, kv_heads, scale, rotary: None, window: None };
        let context = graph.attention(layer, packed, &attention)?;
        linear(graph, &format!("{prefix}h.{layer}.attn.c_proj"), &context, [width, width])
    }

    fn feed_forward(&self, graph: &mut GraphBuilder<'_>, prefix: &str, layer: usize, rows: &Rows) -> Result<Product, LoadError> {
        let ModelShape { width, inner, .. } = self.shape;
        let wide = linear(graph, &format!("{prefix}h.{layer}.mlp.c_fc"), rows, [width, inner])?;
        let active = graph.activate(wide, self.activation)?;
        linear(graph, &format!("{prefix}h.{layer}.mlp.c_proj"), &active, [inner, width])
    }
}

/// A layer of `transformers.pytorch_utils.Conv1D`, whose weights lie as `[inputs, outputs]`.
fn linear(graph: &mut GraphBuilder<'_>, name: &str, rows: &Rows, [inputs, outputs]: [usize; 2]) -> Result<Product, LoadError> {
    let weight = graph.tensor(&format!("{name}.weight"), &[inputs, outputs])?;
    let bias = graph.vector(&format!("{name}.bias"), outputs)?;
    graph.linear(rows, Matrix { parts: vec![weight], outputs_first: false, inputs, outputs }, Some(bias))
}
