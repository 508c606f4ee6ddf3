//! Runs the graph with its cache of keys and values in place.
//!
//! ONNX Runtime's attention appends to the cache without copying it only where the memory of `past` is also the memory of `present`, and a
//! batch is a contiguous range of slots in it. ort's safe binding copies memory it does not own, so tensors are laid over our own memory
//! here, through ONNX Runtime's C interface. This is the only module with unsafe code; what makes it sound is said at each place.
#![expect(unsafe_code, reason = "ort has no safe way to run with inputs and outputs that share memory")]

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};
use std::ops::Range;
use std::ptr::{self, NonNull};

use memmap2::{MmapMut, MmapRaw};
use ort::AsPointer;
use ort::editor::{Model, editor_api};
use ort::environment::Environment;
use ort::memory::MemoryInfo;
use ort::session::builder::SessionBuilder;
use ort::sys::{ONNXTensorElementDataType, OrtSession, OrtValue};

use super::LoadError;
use super::graph::empty_model;
use crate::text::step_model::StepError;

/// The size of the cache: for each layer, keys and values are each `[slots, heads, tokens, head_size]` 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheShape {
    pub(super) layers: usize,
    pub(super) slots: usize,
    /// Heads of keys and values, which several heads of queries may share.
    pub(super) heads: usize,
    pub(super) tokens: usize,
    pub(super) head_size: usize,
}

impl CacheShape {
    /// Bytes of all layers, or `None` where that is beyond counting.
    pub(super) fn bytes(&self) -> Option<usize> {
        let floats = [2, self.layers, self.slots, self.heads, self.tokens, self.head_size, size_of::<f32>()];
        floats.into_iter().try_fold(1_usize, usize::checked_mul).filter(|&bytes| isize::try_from(bytes).is_ok())
    }

    fn head_floats(&self) -> usize {
        self.tokens * self.head_size
    }

    fn slot_floats(&self) -> usize {
        self.heads * self.head_floats()
    }

    /// Floats before the keys (`2 × layer`) or the values (`2 × layer + 1`) of a slot.
    fn offset(&self, plane: usize, slot: usize) -> usize {
        (plane * self.slots + slot) * self.slot_floats()
    }
}

/// What a step reads: `sequences × tokens` rows of embeddings that go into as many neighbouring slots.
pub(super) struct StepInput<'a> {
    /// The slots, one a sequence.
    pub(super) slots: Range<usize>,
    /// Tokens of each sequence.
    pub(super) tokens: usize,
    /// `[sequences × tokens, width]`.
    pub(super) embeddings: &'a mut [f32],
    /// For each sequence, its tokens after this step, less one.
    pub(super) last_positions: &'a mut [i32],
    /// Rows whose logits are wanted, ascending.
    pub(super) logit_rows: &'a mut [i64],
}

/// A session and the memory it works on.
pub(super) struct StepSession {
    /// Views of the cache by first slot and count. Declared before the memory they point into, so that they go first.
    views: HashMap<(usize, usize), Vec<TensorView>>,
    session: Session,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    cache: MmapRaw,
    shape: CacheShape,
    /// Embeddings' width.
    width: usize,
    /// Features of packed queries, keys and values.
    packed_width: usize,
    vocabulary: usize,
    logits: Vec<f32>,
    memory_info: MemoryInfo<'static>,
}

// SAFETY: The raw pointers inside (ONNX Runtime's values and the mapping) belong to this object alone and are only used through `&mut self`;
// ONNX Runtime does not tie values or sessions to a thread.
unsafe impl Send for StepSession {}

/// The graph's inputs before the cache, in the order in which [`StepSession::run`] gives them.
pub(super) const STEP_INPUTS: [&str; 5] = ["embeddings", "packed_shape", "last_positions", "total_tokens", "logit_rows"];
/// The graph's first output.
pub(super) const LOGITS: &str = "logits";

/// The names of a layer's cache as the graph's inputs and outputs: past and present keys, past and present values.
pub(super) fn cache_names(layer: usize) -> [(String, String); 2] {
    ["key", "value"].map(|what| (format!("past_{what}.{layer}"), format!("present_{what}.{layer}")))
}

impl StepSession {
    /// Wraps a session whose graph has the inputs and outputs named above. The cache's pages are all zero and cost nothing until they
    /// are written.
    pub(super) fn new(session: Session, shape: CacheShape, width: usize, packed_width: usize, vocabulary: usize) -> Result<Self, LoadError> {
        let bytes = shape.bytes().ok_or_else(|| LoadError::Runtime("the cache is larger than memory can be".to_owned()))?;
        let mapping = MmapMut::map_anon(bytes).map_err(|error| LoadError::Runtime(format!("{bytes} bytes for the cache: {error}")))?;
        let name = |name: &str| CString::new(name).map_err(|error| LoadError::Runtime(error.to_string()));
        let mut input_names = STEP_INPUTS.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let mut output_names = vec![name(LOGITS)?];
        for (past, present) in (0..shape.layers).flat_map(cache_names) {
            input_names.push(name(&past)?);
            output_names.push(name(&present)?);
        }
        Ok(Self {
            views: HashMap::new(),
            session,
            input_names,
            output_names,
            cache: MmapRaw::from(mapping),
            shape,
            width,
            packed_width,
            vocabulary,
            logits: Vec::new(),
            memory_info: MemoryInfo::default(),
        })
    }

    pub(super) fn shape(&self) -> CacheShape {
        self.shape
    }

    /// Computes one step and answers `logit_rows × vocabulary` logits.
    pub(super) fn run(&mut self, input: StepInput<'_>) -> Result<&[f32], StepError> {
        self.check(&input)?;
        self.try_run(input).map_err(|error| StepError(error.message().to_owned()))
    }

    /// ONNX Runtime trusts the sizes it is told, so they are held against the memory they describe.
    fn check(&self, input: &StepInput<'_>) -> Result<(), StepError> {
        let sequences = input.slots.len();
        let rows = sequences * input.tokens;
        let capacity = i32::try_from(self.shape.tokens).unwrap_or(i32::MAX);
        let first = i32::try_from(input.tokens).unwrap_or(i32::MAX) - 1;
        let fits = input.slots.end <= self.shape.slots
            && rows > 0
            && input.embeddings.len() == rows * self.width
            && input.last_positions.len() == sequences
            && input.last_positions.iter().all(|position| (first..capacity).contains(position))
            && input.logit_rows.iter().all(|&row| usize::try_from(row).is_ok_and(|row| row < rows));
        if fits { Ok(()) } else { Err(StepError("a step was asked for that does not fit the cache".to_owned())) }
    }

    fn try_run(&mut self, input: StepInput<'_>) -> ort::Result<&[f32]> {
        let (sequences, tokens) = (input.slots.len(), input.tokens);
        let logit_rows = input.logit_rows.len();
        let wanted = logit_rows * self.vocabulary;
        if self.logits.len() < wanted {
            self.logits.resize(wanted, 0.0);
        }
        let mut packed_shape = [sequences, tokens, self.packed_width].map(dimension);
        let mut total_tokens = [input.last_positions.iter().copied().max().unwrap_or(0) + 1];
        let logits = self.logits.get_mut(..wanted).unwrap_or_default();
        let info = &self.memory_info;
        let step = [
            TensorView::over(info, input.embeddings, &[sequences * tokens, self.width])?,
            TensorView::over(info, &mut packed_shape, &[3])?,
            TensorView::over(info, input.last_positions, &[sequences])?,
            TensorView::over(info, &mut total_tokens, &[])?,
            TensorView::over(info, input.logit_rows, &[logit_rows])?,
        ];
        let logits_view = TensorView::over(info, logits, &[logit_rows, self.vocabulary])?;
        let key = (input.slots.start, sequences);
        if !self.views.contains_key(&key) {
            let views = self.cache_views(&input.slots)?;
            self.views.insert(key, views);
        }
        let cache = self.views.get(&key).map(Vec::as_slice).unwrap_or_default();
        let inputs: Vec<*const OrtValue> = step.iter().chain(cache).map(TensorView::pointer).collect();
        let mut outputs: Vec<*mut OrtValue> =
            std::iter::once(&logits_view).chain(cache).map(|view| view.pointer().cast_mut()).collect();
        self.call(&inputs, &mut outputs)?;
        Ok(self.logits.get(..wanted).unwrap_or_default())
    }

    fn call(&mut self, inputs: &[*const OrtValue], outputs: &mut [*mut OrtValue]) -> ort::Result<()> {
        let input_names: Vec<*const c_char> = self.input_names.iter().map(|name| name.as_ptr()).collect();
        let output_names: Vec<*const c_char> = self.output_names.iter().map(|name| name.as_ptr()).collect();
        debug_assert_eq!((inputs.len(), outputs.len()), (input_names.len(), output_names.len()));
        // SAFETY: The names end in a zero and outlive the call; there are as many values as names; every value is a tensor over memory that
        // outlives the call and that nothing else touches meanwhile, since `self` is borrowed exclusively. Each output is given, so ONNX
        // Runtime allocates none that would have to be released.
        unsafe {
            ort::Error::result_from_status((ort::api().Run)(
                self.session.pointer.as_ptr(),
                ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            ))
        }
    }

    /// Tensors over a range of slots: for each layer keys, then values, each `[slots, heads, tokens, head_size]`.
    fn cache_views(&self, slots: &Range<usize>) -> ort::Result<Vec<TensorView>> {
        let shape = self.shape;
        let dimensions = [slots.len(), shape.heads, shape.tokens, shape.head_size].map(dimension);
        let bytes = slots.len() * shape.slot_floats() * size_of::<f32>();
        (0..2 * shape.layers)
            .map(|plane| {
                // SAFETY: `check` held the range against the slots that there are, so the view lies within the mapping, which is as long as
                // `CacheShape::bytes` says and outlives the view (it is dropped after it); a mapping begins at a page, so floats are aligned.
                unsafe {
                    let data = self.cache.as_mut_ptr().cast::<f32>().add(shape.offset(plane, slots.start));
                    TensorView::new(&self.memory_info, data.cast(), bytes, &dimensions, <f32 as Element>::TYPE)
                }
            })
            .collect()
    }

    /// Copies the first `tokens` positions of every layer from one slot to another.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        let shape = self.shape;
        if from >= shape.slots || to >= shape.slots || tokens > shape.tokens {
            return Err(StepError("a copy was asked for that does not fit the cache".to_owned()));
        }
        if from == to {
            return Ok(());
        }
        for (plane, head) in (0..2 * shape.layers).flat_map(|plane| (0..shape.heads).map(move |head| (plane, head))) {
            // SAFETY: Both ranges lie within the mapping by the checks above, belong to different slots, so do not overlap, and no tensor
            // over them is in use, since `self` is borrowed exclusively.
            unsafe {
                let base = self.cache.as_mut_ptr().cast::<f32>().add(head * shape.head_floats());
                let (source, target) = (base.add(shape.offset(plane, from)), base.add(shape.offset(plane, to)));
                ptr::copy_nonoverlapping(source, target, tokens * shape.head_size);
            }
        }
        Ok(())
    }
}

/// A session of ONNX Runtime's own. ort cannot make one from a graph with operators of ours: its one way (`Model::into_session`) does not know
/// them, its other (`SessionBuilder::edit_from_memory`) asks for what a session has only once it is complete.
pub(super) struct Session {
    pointer: NonNull<OrtSession>,
    /// Holds the operators and the settings that the session uses; dropped after it.
    #[expect(dead_code, reason = "kept alive")]
    builder: SessionBuilder,
    #[expect(dead_code, reason = "kept alive")]
    environment: Environment,
}

impl Session {
    /// Makes a session that computes `model` as `builder` says.
    pub(super) fn new(model: Model, builder: SessionBuilder, environment: Environment) -> ort::Result<Self> {
        let editor = editor_api()?;
        // Operators of ours are only known to a session that began with a file; the graph is then a change to that file.
        let file = empty_model();
        let mut session = ptr::null_mut();
        // SAFETY: Environment, file and options live through the call, which makes a new session.
        unsafe {
            ort::Error::result_from_status((editor.CreateModelEditorSessionFromArray)(
                environment.ptr(),
                file.as_ptr().cast(),
                file.len(),
                builder.ptr(),
                &raw mut session,
            ))?;
        }
        let pointer = NonNull::new(session).ok_or_else(|| ort::Error::new("no session was made"))?;
        let session = Self { pointer, builder, environment };
        // SAFETY: The session is new and not yet complete. The model is only read, though the interface does not say so: its values are
        // shared with the session by reference counts.
        unsafe {
            let change = model.ptr().cast_mut();
            ort::Error::result_from_status((editor.ApplyModelToModelEditorSession)(pointer.as_ptr(), change))?;
        }
        // The session is now their only holder, and frees each matrix once it has its own arrangement of it.
        drop(model);
        // SAFETY: The session is complete but for this, and gets the options that it was made with.
        unsafe {
            let options = session.builder.ptr();
            ort::Error::result_from_status((editor.FinalizeModelEditorSession)(pointer.as_ptr(), options, ptr::null_mut()))?;
        }
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: The session was made by `new` and is released once; the values over its inputs and outputs are not its own.
        unsafe { (ort::api().ReleaseSession)(self.pointer.as_ptr()) }
    }
}

/// A length as ONNX Runtime counts. Memory bounds it far below the limit.
fn dimension(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

trait Element {
    const TYPE: ONNXTensorElementDataType;
}
impl Element for f32 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}
impl Element for i32 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
}
impl Element for i64 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

/// ONNX Runtime's handle of a tensor over memory that is not its own.
struct TensorView(NonNull<OrtValue>);

impl TensorView {
    /// A view of a slice. It is used, and dropped, while the slice is still borrowed by the caller's frame.
    fn over<T: Element>(info: &MemoryInfo<'_>, data: &mut [T], shape: &[usize]) -> ort::Result<Self> {
        debug_assert_eq!(data.len(), shape.iter().product::<usize>());
        let dimensions: Vec<i64> = shape.iter().map(|&length| dimension(length)).collect();
        // SAFETY: The pointer is valid for as many bytes as the slice has.
        unsafe { Self::new(info, data.as_mut_ptr().cast(), size_of_val(data), &dimensions, T::TYPE) }
    }

    /// # Safety
    /// `data` must stay valid for `bytes` bytes as long as the view is used, and be aligned for its type.
    unsafe fn new(
        info: &MemoryInfo<'_>,
        data: *mut c_void,
        bytes: usize,
        shape: &[i64],
        element_type: ONNXTensorElementDataType,
    ) -> ort::Result<Self> {
        let mut value = ptr::null_mut();
        // SAFETY: `info` and `shape` live through the call; ONNX Runtime only keeps `data`, for which the caller vouches.
        unsafe {
            ort::Error::result_from_status((ort::api().CreateTensorWithDataAsOrtValue)(
                info.ptr(),
                data,
                bytes,
                shape.as_ptr(),
                shape.len(),
                element_type,
                &raw mut value,
            ))?;
        }
        NonNull::new(value).map(Self).ok_or_else(|| ort::Error::new("no tensor was made"))
    }

    fn pointer(&self) -> *const OrtValue {
        self.0.as_ptr()
    }
}

impl Drop for TensorView {
    fn drop(&mut self) {
        // SAFETY: The value was made by `new` and is released once.
        unsafe { (ort::api().ReleaseValue)(self.0.as_ptr()) }
    }
}
