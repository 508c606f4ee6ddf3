//! Builds the ONNX graph in the process, one operator after another, and collects the weights it needs.
//!
//! Hidden states are kept as rows, `[sequences × tokens, width]`, since everything but attention works row by row. Names of values are
//! numbered: only the graph's own inputs and outputs are known by name outside.

use ort::editor::{Graph, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::value::{Outlet, Shape, SymbolicDimensions, TensorElementType, ValueType};

use super::LoadError;
use super::architectures::ModelShape;
use super::{int4, int8};
use super::safetensors::{Checkpoint, TensorLocation};
use super::session::{LOGITS, STEP_INPUTS, cache_names};
use super::weights::{Matrix, PendingWeight, WeightForm, prepare};

/// ONNX Runtime's own operators.
const CONTRIB: &str = "com.microsoft";

/// The name of a value within the graph.
pub(super) type Value = String;

/// Rows that matrices are multiplied with.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Float(Value),
    /// Unsigned 8 bits around 128, and a scale a row.
    Quantised { values: Value, scales: Value },
}

/// What a multiplication gives.
#[derive(Debug, Clone)]
pub(super) enum Product {
    Float(Value),
    /// Still to be multiplied with its rows' scales and added to its bias, which the next operator does on its way.
    Scaled { value: Value, scales: Value, bias: Option<Value> },
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
    pub(super) head_size: usize,
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
}

impl<'a> GraphBuilder<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, form: WeightForm) -> Result<Self, LoadError> {
        Ok(Self { checkpoint, form, graph: Graph::new()?, weights: Vec::new(), names: 0, int8_constants: None })
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

    /// Rows times a matrix, plus a bias.
    pub(super) fn linear(&mut self, rows: &Rows, matrix: Matrix<'a>, bias: Option<Value>) -> Result<Product, LoadError> {
        match rows {
            Rows::Float(rows) if self.form == WeightForm::Int4 => self.int4_linear(rows, matrix, bias),
            Rows::Float(rows) => self.float_linear(rows, matrix, bias),
            Rows::Quantised { values, scales } => self.int8_linear(values, scales, matrix, bias),
        }
    }

    fn float_linear(&mut self, rows: &str, matrix: Matrix<'a>, bias: Option<Value>) -> Result<Product, LoadError> {
        let weight = self.fresh();
        let attributes = vec![Attribute::new("transB", i64::from(matrix.outputs_first))?];
        self.weights.push(PendingWeight::float_matrix(&weight, matrix));
        let mut inputs = vec![rows, weight.as_str()];
        inputs.extend(bias.as_deref());
        let [value] = self.node("Gemm", ONNX_DOMAIN, &inputs, attributes)?;
        Ok(Product::Float(value))
    }

    fn int8_linear(&mut self, values: &str, scales: &str, matrix: Matrix<'a>, bias: Option<Value>) -> Result<Product, LoadError> {
        let (weight, column_scales) = (self.fresh(), self.fresh());
        self.weights.push(PendingWeight::int8_matrix(&weight, &column_scales, matrix));
        let (one, zero_point) = self.int8_constants();
        let inputs = [values, &weight, &one, &column_scales, &zero_point];
        let [value] = self.node("MatMulIntegerToFloat", CONTRIB, &inputs, vec![])?;
        Ok(Product::Scaled { value, scales: scales.to_owned(), bias })
    }

    fn int4_linear(&mut self, rows: &str, matrix: Matrix<'a>, bias: Option<Value>) -> Result<Product, LoadError> {
        let (weight, scales) = (self.fresh(), self.fresh());
        let attributes = vec![
            Attribute::new("K", integer(matrix.inputs))?,
            Attribute::new("N", integer(matrix.outputs))?,
            Attribute::new("bits", 4_i64)?,
            Attribute::new("block_size", integer(int4::BLOCK))?,
            // Activations are quantised to 8 bits, so that integers are multiplied.
            Attribute::new("accuracy_level", 4_i64)?,
        ];
        self.weights.push(PendingWeight::int4_matrix(&weight, &scales, matrix));
        let mut inputs = vec![rows, weight.as_str(), &scales];
        if let Some(bias) = &bias {
            inputs.extend(["", "", bias]);
        }
        let [value] = self.node("MatMulNBits", CONTRIB, &inputs, attributes)?;
        Ok(Product::Float(value))
    }

    /// The scale of activations, which is applied a row at a time later, and their zero point.
    fn int8_constants(&mut self) -> (Value, Value) {
        if let Some(constants) = &self.int8_constants {
            return constants.clone();
        }
        let (one, zero_point) = (self.fresh(), self.fresh());
        self.weights.push(PendingWeight::scalar(&one, 1.0));
        self.weights.push(PendingWeight::zero_point(&zero_point, 128));
        self.int8_constants.insert((one, zero_point)).clone()
    }

    /// A product as plain rows.
    fn plain(&mut self, product: Product) -> Result<Value, LoadError> {
        match product {
            Product::Float(value) => Ok(value),
            Product::Scaled { value, scales, bias } => {
                let mut inputs = vec![value.as_str(), &scales];
                inputs.extend(bias.as_deref());
                let [rows] = self.node("ScaleRows", int8::DOMAIN, &inputs, vec![])?;
                Ok(rows)
            }
        }
    }

    /// Plain rows as matrices of this graph's form take them.
    fn ready(&mut self, rows: Value) -> Result<Rows, LoadError> {
        match self.form {
            WeightForm::Float | WeightForm::Int4 => Ok(Rows::Float(rows)),
            WeightForm::Int8 => self.quantise(&rows),
        }
    }

    fn quantise(&mut self, rows: &str) -> Result<Rows, LoadError> {
        let [values, scales] = self.node("QuantizeRows", int8::DOMAIN, &[rows], vec![])?;
        Ok(Rows::Quantised { values, scales })
    }

    /// Normalises rows.
    pub(super) fn normalise(&mut self, rows: &str, norm: &Norm) -> Result<Rows, LoadError> {
        let mut inputs = vec![rows, norm.weight.as_str()];
        inputs.extend(norm.bias.as_deref());
        let operator = if norm.bias.is_some() { "LayerNormalization" } else { "SimplifiedLayerNormalization" };
        let attributes = vec![Attribute::new("axis", -1_i64)?, Attribute::new("epsilon", norm.epsilon)?];
        let [output] = self.node(operator, ONNX_DOMAIN, &inputs, attributes)?;
        self.ready(output)
    }

    /// Adds a product to the residual stream and normalises the sum: answers the normalised rows and the sum.
    pub(super) fn add_normalise(&mut self, product: Product, residual: &str, norm: &Norm) -> Result<(Rows, Value), LoadError> {
        let epsilon = Attribute::new("epsilon", norm.epsilon)?;
        let sum = self.fresh();
        match product {
            Product::Float(value) => {
                let normalised = self.fresh();
                let mut inputs = vec![value.as_str(), residual, &norm.weight];
                inputs.extend(norm.bias.as_deref());
                let operator = if norm.bias.is_some() { "SkipLayerNormalization" } else { "SkipSimplifiedLayerNormalization" };
                self.named_node(operator, CONTRIB, &inputs, &[&normalised, "", "", &sum], vec![epsilon])?;
                Ok((self.ready(normalised)?, sum))
            }
            Product::Scaled { value, scales, bias } => {
                let (values, new_scales) = (self.fresh(), self.fresh());
                let optional = [norm.bias.as_deref().unwrap_or_default(), bias.as_deref().unwrap_or_default()];
                let inputs = [value.as_str(), &scales, residual, &norm.weight, optional[0], optional[1]];
                self.named_node("AddNormQuantizeRows", int8::DOMAIN, &inputs, &[&values, &new_scales, &sum], vec![epsilon])?;
                Ok((Rows::Quantised { values, scales: new_scales }, sum))
            }
        }
    }

    /// An activation function of one input.
    pub(super) fn activate(&mut self, product: Product, function: Activation) -> Result<Rows, LoadError> {
        if let (Product::Scaled { .. }, Activation::GeluTanh) = (&product, function) {
            return self.activate_quantised(product, 0);
        }
        let rows = self.plain(product)?;
        let [output] = match function {
            Activation::GeluTanh => self.node("FastGelu", CONTRIB, &[&rows], vec![])?,
            Activation::GeluErf => self.node("Gelu", CONTRIB, &[&rows], vec![])?,
            Activation::Relu => self.node("Relu", ONNX_DOMAIN, &[&rows], vec![])?,
        };
        self.ready(output)
    }

    /// SiLU of the first half of each row, times the second half.
    pub(super) fn gate(&mut self, product: Product, width: usize) -> Result<Rows, LoadError> {
        if let Product::Scaled { .. } = product {
            return self.activate_quantised(product, 1);
        }
        let rows = self.plain(product)?;
        let halves = self.integers(vec![integer(width), integer(width)]);
        let [gate, up] = self.node("Split", ONNX_DOMAIN, &[&rows, &halves], vec![Attribute::new("axis", -1_i64)?])?;
        let [active] = self.node("QuickGelu", CONTRIB, &[&gate], vec![Attribute::new("alpha", 1.0_f32)?])?;
        let [gated] = self.node("Mul", ONNX_DOMAIN, &[&active, &up], vec![])?;
        self.ready(gated)
    }

    fn activate_quantised(&mut self, product: Product, gated: i64) -> Result<Rows, LoadError> {
        let Product::Scaled { value, scales, bias } = product else {
            let rows = self.plain(product)?;
            return self.ready(rows);
        };
        let mut inputs = vec![value.as_str(), &scales];
        inputs.extend(bias.as_deref());
        let attributes = vec![Attribute::new("gated", gated)?];
        let [values, scales] = self.node("ActivateQuantizeRows", int8::DOMAIN, &inputs, attributes)?;
        Ok(Rows::Quantised { values, scales })
    }

    /// Attention over the cache of a layer. `packed` has a row of queries, keys and values a token; answers a row of contexts a token.
    pub(super) fn attention(&mut self, layer: usize, packed: Product, attention: &Attention<'_>) -> Result<Rows, LoadError> {
        let packed = self.plain(packed)?;
        let [shaped] = self.node("Reshape", ONNX_DOMAIN, &[&packed, "packed_shape"], vec![])?;
        let [(past_key, present_key), (past_value, present_value)] = cache_names(layer);
        let mut inputs = vec![shaped.as_str(), "", "", &past_key, &past_value, "last_positions", "total_tokens"];
        let mut attributes = vec![
            Attribute::new("num_heads", integer(attention.heads))?,
            Attribute::new("kv_num_heads", integer(attention.kv_heads))?,
            Attribute::new("scale", attention.scale)?,
            Attribute::new("local_window_size", attention.window.map_or(-1, integer))?,
            Attribute::new("do_rotary", i64::from(attention.rotary.is_some()))?,
        ];
        if let Some((cosines, sines)) = attention.rotary {
            inputs.extend([cosines.as_str(), sines.as_str()]);
            attributes.push(Attribute::new("rotary_interleaved", 0_i64)?);
        }
        let context = self.fresh();
        self.named_node("GroupQueryAttention", CONTRIB, &inputs, &[&context, &present_key, &present_value], attributes)?;
        let row_shape = self.integers(vec![-1, integer(attention.heads * attention.head_size)]);
        let [rows] = self.node("Reshape", ONNX_DOMAIN, &[&context, &row_shape], vec![])?;
        self.ready(rows)
    }

    /// The logits of the rows that were asked for: the graph's last operators.
    pub(super) fn logits(&mut self, rows: Rows, matrix: Matrix<'a>) -> Result<(), LoadError> {
        let wanted = match rows {
            Rows::Float(rows) => {
                let rows = self.wanted(&rows)?;
                if self.form == WeightForm::Int4 { self.quantise(&rows)? } else { Rows::Float(rows) }
            }
            Rows::Quantised { values, scales } => {
                Rows::Quantised { values: self.wanted(&values)?, scales: self.wanted(&scales)? }
            }
        };
        let product = self.linear(&wanted, matrix, None)?;
        let logits = self.plain(product)?;
        self.named_node("Identity", ONNX_DOMAIN, &[&logits], &[LOGITS], vec![])
    }

    fn wanted(&mut self, rows: &str) -> Result<Value, LoadError> {
        let [wanted] = self.node("Gather", ONNX_DOMAIN, &[rows, "logit_rows"], vec![Attribute::new("axis", 0_i64)?])?;
        Ok(wanted)
    }
}

impl GraphBuilder<'_> {
    /// Reads the weights, on so many threads, and makes a model of the graph.
    pub(super) fn finish(self, shape: &ModelShape, threads: usize) -> Result<Model, LoadError> {
        let Self { mut graph, weights, .. } = self;
        let cache = [-1, integer(shape.kv_heads), -1, integer(shape.head_size)];
        let float = |name: &str, dimensions: &[i64]| outlet(name, TensorElementType::Float32, dimensions);
        let [embeddings, packed_shape, last_positions, total_tokens, logit_rows] = STEP_INPUTS;
        let mut inputs = vec![
            float(embeddings, &[-1, integer(shape.width)]),
            outlet(packed_shape, TensorElementType::Int64, &[3]),
            outlet(last_positions, TensorElementType::Int32, &[-1]),
            outlet(total_tokens, TensorElementType::Int32, &[]),
            outlet(logit_rows, TensorElementType::Int64, &[-1]),
        ];
        let mut outputs = vec![float(LOGITS, &[-1, integer(shape.vocabulary)])];
        for (past, present) in (0..shape.layers).flat_map(cache_names) {
            inputs.push(float(&past, &cache));
            outputs.push(float(&present, &cache));
        }
        graph.set_inputs(inputs)?;
        graph.set_outputs(outputs)?;
        for initializer in prepare(weights, threads)? {
            // Small constants are copied into the graph, so that its optimiser can read them; the rest is used where it lies.
            graph.add_initializer(&initializer.name, initializer.value, initializer.bytes > 1024)?;
        }
        let mut model = Model::new([Opset::new(ONNX_DOMAIN, 21)?, Opset::new(CONTRIB, 1)?, Opset::new(int8::DOMAIN, 1)?])?;
        model.set_graph(graph)?;
        Ok(model)
    }
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
