//! Our own multiplication gives the bits of ONNX Runtime's, from the same weights.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::text::model::attention::{CacheElement, CacheShape, KvCache};
use crate::text::model::session::{Session, StepInput, StepSession, Widths};
use crate::text::model::weights::Matrix;
use crate::text::model::{ModelOptions, init_runtime, runtime, session_options};

const SHAPE: ModelShape = ModelShape {
    layers: 1,
    width: 0,
    heads: 1,
    kv_heads: 1,
    head_size: 16,
    inner: 1,
    vocabulary: 0,
    context_length: 64,
    matrix_elements: 0,
};

/// Writes a file of weights that look random.
fn write_weights(folder: &Path, tensors: &[(&str, &[usize])]) {
    let (mut header, mut bytes) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in tensors {
        let begin = bytes.len();
        let values = (0..shape.iter().product()).map(|index: usize| noise(begin + index));
        bytes.extend(values.flat_map(f32::to_le_bytes));
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, bytes.len()] });
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let file = [&u64::try_from(header.len()).unwrap().to_le_bytes(), header.as_bytes(), &bytes].concat();
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

fn noise(index: usize) -> f32 {
    let hash = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f32::from(u16::try_from((hash ^ hash >> 29) >> 16 & 0xffff).unwrap()) / 32_768.0 - 1.0
}

/// A session whose rows of results are those of our operator, and beside them those of ONNX Runtime's.
fn both(checkpoint: &Checkpoint, parts: &[(&str, usize)], inputs: usize, outputs_first: bool, bias: bool) -> StepSession {
    let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
    let mut graph = GraphBuilder::new(checkpoint, WeightForm::Int8).unwrap();
    let shape = |outputs: usize| if outputs_first { [outputs, inputs] } else { [inputs, outputs] };
    let tensors = parts.iter().map(|(name, outputs)| checkpoint.tensor(name, &shape(*outputs)).unwrap()).collect();
    let matrix = Matrix { parts: tensors, outputs_first, inputs, outputs };
    let bias = bias.then(|| graph.vector("bias", outputs).unwrap());
    let Rows::Quantised { values, scales } = graph.quantise("embeddings").unwrap() else { panic!("rows are quantised") };
    let ours = graph.int8_linear_in_blocks(&values, &scales, matrix.clone(), bias.as_deref()).unwrap();
    let theirs = graph.int8_linear_by_runtime(&values, &scales, matrix, bias).unwrap();
    let [ours, theirs] = [ours, theirs].map(|product| graph.plain(product).unwrap());
    let axis = vec![Attribute::new("axis", 1_i64).unwrap()];
    graph.named_node("Concat", ONNX_DOMAIN, &[&ours, &theirs], &[LOGITS], axis).unwrap();
    let shape = ModelShape { width: inputs, vocabulary: 2 * outputs, ..SHAPE };
    let cache = CacheShape { layers: 1, slots: 1, heads: 1, tokens: 64, head_size: 16, element: CacheElement::Float32 };
    let cache = Arc::new(KvCache::new(cache).unwrap());
    let options = session_options(&ModelOptions { intra_threads: 2, ..ModelOptions::default() }, &shape, &cache).unwrap();
    let (model, _) = graph.finish(&shape, 2, &QuantisedWeights::Nowhere).unwrap();
    let session = Session::new(model, options, runtime::environment().unwrap()).unwrap();
    StepSession::new(session, cache, Widths { embedding: inputs, vocabulary: 2 * outputs }, None).unwrap()
}

#[test]
fn our_multiplication_gives_the_bits_of_the_runtimes() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/onnxruntime/lib/libonnxruntime.so.1.31.1");
    init_runtime(&std::env::var_os("ORT_DYLIB_PATH").map_or(library, Into::into)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (inputs, parts, outputs_first) in
        [(768, [300, 100], true), (70, [29, 21], true), (1031, [64, 64], true), (768, [301, 0], false), (66, [50, 0], false)]
    {
        let shape = |outputs: usize| if outputs_first { [outputs, inputs] } else { [inputs, outputs] };
        let outputs: usize = parts.iter().sum();
        write_weights(folder.path(), &[("a", &shape(parts[0])), ("b", &shape(parts[1])), ("bias", &[outputs])]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let parts: Vec<_> = ["a", "b"].into_iter().zip(parts).filter(|(_, outputs)| *outputs > 0).collect();
        for with_bias in [false, true] {
            let mut session = both(&checkpoint, &parts, inputs, outputs_first, with_bias);
            for rows in [1, 2, 16, 17, 41] {
                let mut embeddings: Vec<f32> = (0..rows * inputs).map(|index| noise(index * 7 + rows)).collect();
                let mut logit_rows: Vec<i64> = (0..).take(rows).collect();
                let last = i32::try_from(rows).unwrap() - 1;
                let step = StepInput {
                    slots: 0..1,
                    tokens: rows,
                    embeddings: &mut embeddings,
                    last_positions: &mut [last],
                    logit_rows: &mut logit_rows,
                };
                for (index, row) in session.run(step).unwrap().chunks_exact(2 * outputs).enumerate() {
                    let bits: Vec<u32> = row.iter().map(|value| value.to_bits()).collect();
                    let (ours, theirs) = bits.split_at(outputs);
                    assert!(ours == theirs, "row {index} of {rows}, {inputs} inputs, {outputs} outputs, bias: {with_bias}");
                    assert!(row.iter().any(|value| *value != 0.0));
                }
            }
        }
    }
}
