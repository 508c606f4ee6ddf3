//! Every form gives the bits of the plain sum, whatever the sizes and whoever shares the multiplication.
#![expect(unsafe_code, reason = "each form is called where the processor has its instructions")]

use super::*;

type Form = unsafe fn(&Multiplication<'_>, Range<usize>, &Results<'_>);

/// All forms that this processor has.
fn forms() -> Vec<(&'static str, Form)> {
    let mut forms: Vec<(&'static str, Form)> = vec![("portable", multiply_portably)];
    #[cfg(target_arch = "x86_64")]
    {
        forms.extend(has_avx().then_some(("AVX-VNNI", multiply_with_avx as Form)));
        forms.extend(has_avx512().then_some(("AVX-512 VNNI", multiply_with_avx512 as Form)));
    }
    forms
}

/// Bytes that look random.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..count).map(next).collect()
}

fn floats(count: usize, seed: u64) -> Vec<f32> {
    noise(count, seed).into_iter().map(|byte| (f32::from(byte) - 100.0) * 0.0137).collect()
}

struct Case {
    layout: Layout,
    count: usize,
    rows: Vec<u8>,
    row_scales: Vec<f32>,
    /// `[inputs, outputs]`
    matrix: Vec<i8>,
    weights: Vec<i8>,
    corrections: Vec<i32>,
    scales: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    fn new(count: usize, inputs: usize, outputs: usize, with_bias: bool) -> Self {
        let matrix = noise(inputs * outputs, 2).into_iter().map(|byte| byte.cast_signed().max(-127)).collect();
        Self::of(noise(count * inputs, 1), count, matrix, Layout { inputs, outputs }, with_bias)
    }

    fn of(rows: Vec<u8>, count: usize, matrix: Vec<i8>, layout: Layout, with_bias: bool) -> Self {
        let mut weights = vec![55; layout.shape().iter().product()];
        layout.clear_padding(&mut weights);
        for column in 0..layout.outputs {
            let values: Vec<i8> = matrix.iter().skip(column).step_by(layout.outputs).copied().collect();
            layout.write_column(&mut weights, column, &values);
        }
        let corrections = layout.corrections(&weights);
        let bias = if with_bias { floats(layout.outputs, 5) } else { Vec::new() };
        let (row_scales, scales) = (floats(count, 3), floats(layout.padded_outputs(), 4));
        Self { layout, count, rows, row_scales, matrix, weights, corrections, scales, bias }
    }

    fn multiplication(&self, rows: Range<usize>) -> Multiplication<'_> {
        let values = &self.rows[rows.start * self.layout.inputs..rows.end * self.layout.inputs];
        let weights = Weights {
            layout: self.layout,
            values: &self.weights,
            corrections: &self.corrections,
            scales: &self.scales,
            bias: &self.bias,
        };
        Multiplication::new(Rows { values, scales: &self.row_scales[rows] }, weights).expect("the sizes fit")
    }

    /// The results' bits of some rows, the blocks computed in parts.
    fn computed(&self, form: Form, rows: Range<usize>, part: usize) -> Vec<u32> {
        let task = self.multiplication(rows.clone());
        let mut memory = vec![f32::NAN; rows.len() * self.layout.outputs];
        let results = task.results(&mut memory).expect("the size fits");
        for first in (0..self.layout.blocks()).step_by(part) {
            // SAFETY: The forms are only those that this processor has, and nobody else computes.
            unsafe { form(&task, first..(first + part).min(self.layout.blocks()), &results) };
        }
        memory.into_iter().map(f32::to_bits).collect()
    }

    /// The textbook's integers, made floats by the operations that ONNX Runtime and `kernels::scale` do.
    fn expected(&self) -> Vec<u32> {
        let result = |row: usize, column: usize| {
            let product = |input: usize| {
                let activation = i64::from(self.rows[row * self.layout.inputs + input]) - 128;
                activation * i64::from(self.matrix[input * self.layout.outputs + column])
            };
            let sum = i32::try_from((0..self.layout.inputs).map(product).sum::<i64>()).expect("it fits");
            #[expect(clippy::cast_precision_loss, reason = "rounded to the nearest")]
            let scaled = sum as f32 * self.scales[column] * self.row_scales[row];
            self.bias.get(column).map_or(scaled, |bias| scaled + bias).to_bits()
        };
        (0..self.count).flat_map(|row| (0..self.layout.outputs).map(move |column| result(row, column))).collect()
    }

    fn assert_as_expected(&self, form: (&str, Form), part: usize) {
        let same = self.computed(form.1, 0..self.count, part) == self.expected();
        assert!(same, "{}: {} rows, {:?}, parts of {part} blocks", form.0, self.count, self.layout);
    }
}

#[test]
fn every_form_gives_the_bits_of_the_plain_sum_for_every_number_of_rows() {
    for form in forms() {
        for count in 1..=40 {
            Case::new(count, 37, 50, count % 2 == 0).assert_as_expected(form, 3);
        }
    }
}

#[test]
fn every_form_gives_the_bits_of_the_plain_sum_for_odd_sizes() {
    for form in forms() {
        for (inputs, outputs) in [(1, 1), (3, 16), (4, 15), (5, 17), (63, 33), (64, 48), (66, 129), (130, 31)] {
            for (count, part) in [(1, 1), (1, 4), (5, 2), (16, 1), (17, 2), (29, 5), (30, 1)] {
                for with_bias in [false, true] {
                    Case::new(count, inputs, outputs, with_bias).assert_as_expected(form, part);
                }
            }
        }
    }
}

#[test]
fn the_largest_activations_and_weights_do_not_overflow() {
    let (inputs, outputs, count) = (16_384, 17, 3);
    for activation in [0, 255] {
        for weight in [-127, 127] {
            let layout = Layout { inputs, outputs };
            let case = Case::of(vec![activation; inputs * count], count, vec![weight; inputs * outputs], layout, false);
            for form in forms() {
                case.assert_as_expected(form, 1);
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    let case = Case::new(37, 70, 83, true);
    for (name, form) in forms() {
        let whole = case.computed(form, 0..37, 6);
        for size in [1, 2, 7, 16, 20] {
            let starts = (0..37).step_by(size);
            let pieces: Vec<u32> = starts.flat_map(|start| case.computed(form, start..(start + size).min(37), 1)).collect();
            assert!(whole == pieces, "{name}: {size} rows at a time");
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused_before_it_is_read() {
    let case = Case::new(2, 8, 20, true);
    let [rows, weights] = [case.multiplication(0..2), case.multiplication(0..2)];
    let (rows, weights) = (rows.rows, weights.weights);
    assert!(Multiplication::new(rows, weights).is_some());
    assert!(Multiplication::new(Rows { values: &rows.values[1..], ..rows }, weights).is_none());
    let misfits = [
        Weights { values: &weights.values[1..], ..weights },
        Weights { corrections: &weights.corrections[1..], ..weights },
        Weights { scales: &weights.scales[..20], ..weights },
        Weights { bias: &weights.bias[1..], ..weights },
        Weights { layout: Layout { inputs: 12, outputs: 20 }, ..weights },
        Weights { layout: Layout { inputs: usize::MAX, outputs: usize::MAX }, ..weights },
    ];
    assert!(misfits.into_iter().all(|weights| Multiplication::new(rows, weights).is_none()));
    assert!(case.multiplication(0..2).results(&mut [0.0; 39]).is_none());
}
