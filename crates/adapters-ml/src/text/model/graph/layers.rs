//! The operators of a layer: what a matrix, a norm, an activation or attention becomes in each of the forms that weights are kept in.

use ort::editor::ONNX_DOMAIN;
use ort::operator::Attribute;

use super::{Activation, Attention, CONTRIB, GraphBuilder, Norm, Product, Rows, Value, integer};
use crate::text::model::LoadError;
use crate::text::model::int8::multiply::suits_processor;
use crate::text::model::session::LOGITS;
use crate::text::model::weights::{Matrix, PendingWeight, WeightForm};
use crate::text::model::{int4, int8};

impl<'a> GraphBuilder<'a> {
    /// Rows times a matrix, plus a bias.
    pub(in super::super) fn linear(
        &mut self,
        rows: &Rows,
        matrix: Matrix<'a>,
        bias: Option<Value>,
    ) -> Result<Product, LoadError> {
        match rows {
            Rows::Float(rows) if self.form == WeightForm::Int4 => self.int4_linear(rows, matrix, bias.as_deref()),
            Rows::Float(rows) => self.float_linear(rows, matrix, bias.as_deref()),
            Rows::Quantised { values, scales } => self.int8_linear(values, scales, matrix, bias),
        }
    }

    fn float_linear(&mut self, rows: &str, matrix: Matrix<'a>, bias: Option<&str>) -> Result<Product, LoadError> {
        let weight = self.fresh();
        let attributes = vec![Attribute::new("transB", i64::from(matrix.outputs_first))?];
        self.weights.push(PendingWeight::float_matrix(&weight, matrix));
        let mut inputs = vec![rows, weight.as_str()];
        inputs.extend(bias);
        let [value] = self.node("Gemm", ONNX_DOMAIN, &inputs, attributes)?;
        Ok(Product::Float(value))
    }

    fn int8_linear(&mut self, values: &str, scales: &str, matrix: Matrix<'a>, bias: Option<Value>) -> Result<Product, LoadError> {
        if suits_processor() {
            self.int8_linear_in_blocks(values, scales, matrix, bias.as_deref())
        } else {
            self.int8_linear_by_runtime(values, scales, matrix, bias)
        }
    }

    pub(super) fn int8_linear_by_runtime(
        &mut self,
        values: &str,
        scales: &str,
        matrix: Matrix<'a>,
        bias: Option<Value>,
    ) -> Result<Product, LoadError> {
        let (weight, column_scales) = (self.fresh(), self.fresh());
        self.weights.push(PendingWeight::int8_matrix(&weight, &column_scales, matrix));
        let (one, zero_point) = self.int8_constants();
        let inputs = [values, &weight, &one, &column_scales, &zero_point];
        let [value] = self.node("MatMulIntegerToFloat", CONTRIB, &inputs, vec![])?;
        Ok(Product::Scaled { value, scales: scales.to_owned(), bias })
    }

    pub(super) fn int8_linear_in_blocks(
        &mut self,
        values: &str,
        scales: &str,
        matrix: Matrix<'a>,
        bias: Option<&str>,
    ) -> Result<Product, LoadError> {
        let [weight, column_scales, corrections] = std::array::from_fn(|_| self.fresh());
        let attributes = vec![Attribute::new("outputs", integer(matrix.outputs))?];
        self.weights.push(PendingWeight::int8_blocks(&weight, [&column_scales, &corrections], matrix));
        let mut inputs = vec![values, scales, weight.as_str(), &column_scales, &corrections];
        inputs.extend(bias);
        let [value] = self.node("QuantizedMatMul", int8::DOMAIN, &inputs, attributes)?;
        Ok(Product::Float(value))
    }

    fn int4_linear(&mut self, rows: &str, matrix: Matrix<'a>, bias: Option<&str>) -> Result<Product, LoadError> {
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
        if let Some(bias) = bias {
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
    pub(super) fn plain(&mut self, product: Product) -> Result<Value, LoadError> {
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

    pub(super) fn quantise(&mut self, rows: &str) -> Result<Rows, LoadError> {
        let [values, scales] = self.node("QuantizeRows", int8::DOMAIN, &[rows], vec![])?;
        Ok(Rows::Quantised { values, scales })
    }

    /// Normalises rows.
    pub(in super::super) fn normalise(&mut self, rows: &str, norm: &Norm) -> Result<Rows, LoadError> {
        let mut inputs = vec![rows, norm.weight.as_str()];
        inputs.extend(norm.bias.as_deref());
        let operator = if norm.bias.is_some() { "LayerNormalization" } else { "SimplifiedLayerNormalization" };
        let attributes = vec![Attribute::new("axis", -1_i64)?, Attribute::new("epsilon", norm.epsilon)?];
        let [output] = self.node(operator, ONNX_DOMAIN, &inputs, attributes)?;
        self.ready(output)
    }

    /// Adds a product to the residual stream and normalises the sum: answers the normalised rows and the sum.
    pub(in super::super) fn add_normalise(
        &mut self,
        product: Product,
        residual: &str,
        norm: &Norm,
    ) -> Result<(Rows, Value), LoadError> {
        let epsilon = Attribute::new("epsilon", norm.epsilon)?;
        let sum = self.fresh();
        if self.form == WeightForm::Int8 {
            let (value, optional) = product.parts();
            let (values, new_scales) = (self.fresh(), self.fresh());
            let [scales, bias] = optional.each_ref().map(|part| part.as_deref().unwrap_or_default());
            let inputs = [value.as_str(), scales, residual, &norm.weight, norm.bias.as_deref().unwrap_or_default(), bias];
            self.named_node("AddNormQuantizeRows", int8::DOMAIN, &inputs, &[&values, &new_scales, &sum], vec![epsilon])?;
            return Ok((Rows::Quantised { values, scales: new_scales }, sum));
        }
        let (value, normalised) = (self.plain(product)?, self.fresh());
        let mut inputs = vec![value.as_str(), residual, &norm.weight];
        inputs.extend(norm.bias.as_deref());
        let operator = if norm.bias.is_some() { "SkipLayerNormalization" } else { "SkipSimplifiedLayerNormalization" };
        self.named_node(operator, CONTRIB, &inputs, &[&normalised, "", "", &sum], vec![epsilon])?;
        Ok((self.ready(normalised)?, sum))
    }

    /// An activation function of one input.
    pub(in super::super) fn activate(&mut self, product: Product, function: Activation) -> Result<Rows, LoadError> {
        if self.form == WeightForm::Int8 && function == Activation::GeluTanh {
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

    /// `SiLU` of the first half of each row, times the second half.
    pub(in super::super) fn gate(&mut self, product: Product, width: usize) -> Result<Rows, LoadError> {
        if self.form == WeightForm::Int8 {
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
        let (value, optional) = product.parts();
        let [scales, bias] = optional.each_ref().map(|part| part.as_deref().unwrap_or_default());
        let inputs = [value.as_str(), scales, bias];
        let attributes = vec![Attribute::new("gated", gated)?];
        let [values, scales] = self.node("ActivateQuantizeRows", int8::DOMAIN, &inputs, attributes)?;
        Ok(Rows::Quantised { values, scales })
    }

    /// Attention over the cache of a layer. `packed` has a row of queries, keys and values a token; answers a row of contexts a token.
    pub(in super::super) fn attention(
        &mut self,
        layer: usize,
        packed: Product,
        attention: &Attention<'_>,
    ) -> Result<Rows, LoadError> {
        let (product, optional) = packed.parts();
        let [scales, bias] = optional.each_ref().map(|part| part.as_deref().unwrap_or_default());
        let mut inputs = vec![product.as_str(), scales, bias, "first_slot", "last_positions"];
        if let Some((cosines, sines)) = attention.rotary {
            inputs.extend([cosines.as_str(), sines.as_str()]);
        }
        let attributes = vec![
            Attribute::new("layer", integer(layer))?,
            Attribute::new("num_heads", integer(attention.heads))?,
            Attribute::new("kv_num_heads", integer(attention.kv_heads))?,
            Attribute::new("scale", attention.scale)?,
            Attribute::new("window", attention.window.map_or(0, integer))?,
        ];
        let [rows] = self.node("CachedAttention", int8::DOMAIN, &inputs, attributes)?;
        self.ready(rows)
    }

    /// Tells the hidden states before the head, which are `rows`, made by `norm` from `residual`. It is a value that the graph has anyway,
    /// so that a step which does not ask for it computes no more than it would: quantised rows have lost what the sum still has, and the
    /// norm is applied to that again where they are asked for.
    pub(in super::super) fn hidden_states(&mut self, rows: &Rows, residual: &str, norm: Norm) {
        self.hidden_states = Some(match rows {
            Rows::Float(rows) => (rows.clone(), None),
            Rows::Quantised { .. } => (residual.to_owned(), Some(norm)),
        });
    }

    /// The logits of the rows that were asked for: the graph's last operators.
    pub(in super::super) fn logits(&mut self, rows: Rows, matrix: Matrix<'a>) -> Result<(), LoadError> {
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
