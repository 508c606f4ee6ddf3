//! Builds the ONNX graph in the process, one operator after another, and collects the weights it needs.
//!
//! Hidden states are kept as rows, `[sequences × tokens, width]`, since everything but attention works row by row. Names of values are
//! numbered: only the graph's own inputs and outputs are known by name outside.

mod layers;
#[cfg(test)]
mod tests;

use ort::editor::{Graph, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::value::{Outlet, Shape, SymbolicDimensions, TensorElementType, ValueType};

use super::LoadError;
use super::architectures::ModelShape;
use super::checkpoint::Checkpoint;
use super::int8;
use super::int8::RowNorm;
use super::quantised::QuantisedWeights;
use super::safetensors::TensorLocation;
use super::session::{HiddenStates, LOGITS, STEP_INPUTS};
use super::weights::{Initializer, PendingWeight, WeightForm, prepare};

/// ONNX Runtime's own operators.
const CONTRIB: &str = "com.microsoft";

/// The name of a value within the graph.
pub(super) type Value = String;

/// Rows that matrices are multiplied with.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Float(Value),
    /// Unsigned 8 bits around 128, and a scale a row.
    Quantised {
        values: Value,
        scales: Value,
    },
}

/// What a multiplication gives.
#[derive(Debug, Clone)]
pub(super) enum Product {
    Float(Value),
    /// Still to be multiplied with its rows' scales and added to its bias, which the next operator does on its way.
    Scaled {
        value: Value,
        scales: Value,
        bias: Option<Value>,
    },
}

impl Product {
    /// Its value, and scales and a bias that are still to be applied.
    fn parts(self) -> (Value, [Option<Value>; 2]) {
        match self {
            Self::Float(value) => (value, [None, None]),
            Self::Scaled { value, scales, bias } => (value, [Some(scales), bias]),
        }
    }
}

/// A layer's normalisation: with a bias it is layer normalisation, without it is by the root of the mean square.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) weight: Value,
    pub(super) bias: Option<Value>,
    pub(super) epsilon: f32,
}

/// How a layer attends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention<'a> {
    pub(super) heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub(super) kv_heads: usize,
    /// What scores are multiplied with before the softmax.
    pub(super) scale: f32,
    /// Tables of cosines and sines, `[tokens, head_size / 2]`, where positions are given by rotation.
    pub(super) rotary: Option<&'a (Value, Value)>,
    /// How many positions back a token sees, itself included, where not all of them.
    pub(super) window: Option<usize>,
}

/// A graph in the making.
pub(super) struct GraphBuilder<'a> {
    checkpoint: &'a Checkpoint,
    form: WeightForm,
    graph: Graph,
    weights: Vec<PendingWeight<'a>>,
    names: usize,
    /// The scale and zero point that all quantised activations share.
    int8_constants: Option<(Value, Value)>,
    /// The value that holds the hidden states before the head, and the norm that is still to be applied to it.
    hidden_states: Option<(Value, Option<Norm>)>,
}

impl<'a> GraphBuilder<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, form: WeightForm) -> Result<Self, LoadError> {
        let (graph, weights) = (Graph::new()?, Vec::new());
        Ok(Self { checkpoint, form, graph, weights, names: 0, int8_constants: None, hidden_states: None })
    }

    fn fresh(&mut self) -> Value {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// Adds an operator whose outputs get fresh names.
    fn node<const N: usize>(
        &mut self,
        operator: &str,
        domain: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> Result<[Value; N], LoadError> {
        let outputs: [Value; N] = std::array::from_fn(|_| self.fresh());
        self.named_node(operator, domain, inputs, &outputs.each_ref().map(String::as_str), attributes)?;
        Ok(outputs)
    }

    fn named_node(
        &mut self,
        operator: &str,
        domain: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> Result<(), LoadError> {
        let name = self.fresh();
        self.graph.add_node(Node::new(operator, domain, format!("{operator}.{name}"), inputs, outputs, attributes)?)?;
        Ok(())
    }

    /// A one-dimensional weight of this length, kept as 32-bit floats.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Value, LoadError> {
        self.vectors(&[(name.to_owned(), length)])
    }

    /// Several such, one after another.
    pub(super) fn vectors(&mut self, parts: &[(String, usize)]) -> Result<Value, LoadError> {
        let checkpoint = self.checkpoint;
        let parts = parts.iter().map(|(name, length)| checkpoint.tensor(name, &[*length])).collect::<Result<Vec<_>, _>>()?;
        let value = self.fresh();
        self.weights.push(PendingWeight::vector(&value, parts));
        Ok(value)
    }

    /// A table of floats that does not come from the file.
    pub(super) fn table(&mut self, shape: [usize; 2], values: Vec<f32>) -> Value {
        let value = self.fresh();
        self.weights.push(PendingWeight::table(&value, shape, values));
        value
    }

    fn integers(&mut self, values: Vec<i64>) -> Value {
        let value = self.fresh();
        self.weights.push(PendingWeight::integers(&value, values));
        value
    }

    /// Whether the files have a tensor of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(name)
    }

    /// The tensor of this name and shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<&'a TensorLocation, LoadError> {
        self.checkpoint.tensor(name, shape)
    }
}

impl GraphBuilder<'_> {
    /// Reads the weights, on so many threads, those that were quantised before from where they are kept, and makes a model of the graph.
    /// Also answers where it tells its hidden states.
    pub(super) fn finish(
        self,
        shape: &ModelShape,
        threads: usize,
        quantised: &QuantisedWeights,
    ) -> Result<(Model, Option<HiddenStates>), LoadError> {
        let Self { mut graph, weights, hidden_states, .. } = self;
        let float = |name: &str, dimensions: &[i64]| outlet(name, TensorElementType::Float32, dimensions);
        let [embeddings, first_slot, last_positions, logit_rows] = STEP_INPUTS;
        graph.set_inputs(vec![
            float(embeddings, &[-1, integer(shape.width)]),
            outlet(first_slot, TensorElementType::Int32, &[1]),
            outlet(last_positions, TensorElementType::Int32, &[-1]),
            outlet(logit_rows, TensorElementType::Int64, &[-1]),
        ])?;
        let hidden = hidden_states.as_ref().map(|(value, _)| float(value, &[-1, integer(shape.width)]));
        graph.set_outputs(std::iter::once(float(LOGITS, &[-1, integer(shape.vocabulary)])).chain(hidden))?;
        let initializers = prepare(weights, threads, quantised)?;
        let hidden_states = hidden_states.map(|(value, norm)| hidden_states_in(value, norm, &initializers)).transpose()?;
        for initializer in initializers {
            // Small constants are copied into the graph, so that its optimiser can read them; the rest is used where it lies.
            graph.add_initializer(&initializer.name, initializer.value, initializer.bytes > 1024)?;
        }
        let mut model = Model::new([Opset::new(ONNX_DOMAIN, 21)?, Opset::new(CONTRIB, 1)?, Opset::new(int8::DOMAIN, 1)?])?;
        model.set_graph(graph)?;
        Ok((model, hidden_states))
    }
}

/// Copies the norm's few numbers out of the weights, if it is still to be applied.
fn hidden_states_in(value: Value, norm: Option<Norm>, weights: &[Initializer]) -> Result<HiddenStates, LoadError> {
    let numbers = |name: &Value| {
        let weight = weights.iter().find(|weight| weight.name == *name);
        let weight = weight.ok_or_else(|| LoadError::Runtime(format!("the weight {name} was not read")))?;
        Ok::<_, LoadError>(weight.value.try_extract_tensor::<f32>()?.1.to_vec())
    };
    let Some(Norm { weight, bias, epsilon }) = norm else { return Ok(HiddenStates { output: value, norm: None }) };
    let norm = RowNorm { weight: numbers(&weight)?, bias: bias.as_ref().map(numbers).transpose()?, epsilon };
    Ok(HiddenStates { output: value, norm: Some(norm) })
}

/// A model without operators in ONNX's format, a `ModelProto` of protocol buffers: its version, an empty graph, and the operators' domains.
pub(super) fn empty_model() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat();
    let opset = |domain: &str, version: u8| field(8, &[field(1, domain.as_bytes()), vec![2 << 3, version]].concat());
    let (ir_version, graph) = (vec![1 << 3, 10], field(7, &field(2, b"tertulia")));
    [ir_version, graph, opset(ONNX_DOMAIN, 21), opset(CONTRIB, 1), opset(int8::DOMAIN, 1)].concat()
}

fn outlet(name: &str, ty: TensorElementType, dimensions: &[i64]) -> Outlet {
    let dimension_symbols = SymbolicDimensions::empty(dimensions.len());
    Outlet::new(name, ValueType::Tensor { ty, shape: Shape::new(dimensions.iter().copied()), dimension_symbols })
}

/// The functions between two matrices of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// The approximation of GELU by a hyperbolic tangent.
    GeluTanh,
    /// GELU by the error function.
    GeluErf,
    Relu,
}

/// A count as an operator's attribute. Configurations are bounded far below the limit.
fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
