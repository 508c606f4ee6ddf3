//! ONNX Runtime's session and tensors, through its C interface where ort's own has no way.
#![expect(unsafe_code, reason = "the C interface is unsafe; what makes each call sound is said beside it")]

use std::ffi::{CString, c_char};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ort::AsPointer;
use ort::editor::{Model, editor_api};
use ort::environment::Environment;
use ort::memory::MemoryInfo;
use ort::session::builder::SessionBuilder;
use ort::sys::{ONNXTensorElementDataType, OrtSession, OrtValue};

use crate::text::model::graph::empty_model;

// SAFETY: ONNX Runtime does not tie a session to a thread, and it is used through `&mut` of what owns it alone.
unsafe impl Send for Session {}

/// A session of ONNX Runtime's own. ort cannot make one from a graph with operators of ours: its one way (`Model::into_session`) does not know
/// them, its other (`SessionBuilder::edit_from_memory`) asks for what a session has only once it is complete.
pub(in super::super) struct Session {
    pointer: NonNull<OrtSession>,
    /// Holds the operators and the settings that the session uses, like the environment beside it; both are dropped after it.
    builder: SessionBuilder,
    #[expect(dead_code, reason = "it is only kept alive")]
    environment: Environment,
}

impl Session {
    /// Makes a session that computes `model` as `builder` says.
    pub(in super::super) fn new(model: Model, builder: SessionBuilder, environment: Environment) -> ort::Result<Self> {
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

    /// Computes the graph. Every input and output has a tensor of its own, by position in the names.
    pub(super) fn run(&mut self, inputs: &Named<'_>, outputs: &Named<'_>) -> ort::Result<()> {
        if inputs.names.len() != inputs.values.len() || outputs.names.len() != outputs.values.len() {
            return Err(ort::Error::new("there are not as many tensors as names"));
        }
        let pointers = |named: &Named<'_>| -> Vec<*const c_char> { named.names.iter().map(|name| name.as_ptr()).collect() };
        let (input_names, output_names) = (pointers(inputs), pointers(outputs));
        let input_values: Vec<*const OrtValue> = inputs.values.iter().map(|value| value.pointer()).collect();
        let mut output_values: Vec<*mut OrtValue> = outputs.values.iter().map(|value| value.pointer().cast_mut()).collect();
        // SAFETY: The names end in a zero and outlive the call; there are as many values as names; every value is a tensor over memory that
        // outlives the call and that nothing else touches meanwhile, as whoever made the tensor vouches. Each output is given, so ONNX
        // Runtime allocates none that would have to be released.
        unsafe {
            ort::Error::result_from_status((ort::api().Run)(
                self.pointer.as_ptr(),
                ptr::null(),
                input_names.as_ptr(),
                input_values.as_ptr(),
                input_values.len(),
                output_names.as_ptr(),
                output_names.len(),
                output_values.as_mut_ptr(),
            ))
        }
    }
}

/// Inputs or outputs, and what they are called.
pub(super) struct Named<'a> {
    pub(super) names: &'a [CString],
    pub(super) values: Vec<&'a TensorView<'a>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: The session was made by `new` and is released once; the values over its inputs and outputs are not its own.
        unsafe { (ort::api().ReleaseSession)(self.pointer.as_ptr()) }
    }
}

pub(super) trait Element {
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
pub(super) struct TensorView<'a> {
    pointer: NonNull<OrtValue>,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> TensorView<'a> {
    /// A view of a slice, which stays borrowed for as long as the view lives.
    pub(super) fn over<T: Element>(data: &'a mut [T], shape: &[usize]) -> ort::Result<Self> {
        debug_assert_eq!(data.len(), shape.iter().product::<usize>());
        // Memory bounds lengths far below the limit.
        let dimensions: Vec<i64> = shape.iter().map(|&length| i64::try_from(length).unwrap_or(i64::MAX)).collect();
        let mut value = ptr::null_mut();
        let info = MemoryInfo::default();
        // SAFETY: `info` and `dimensions` live through the call. ONNX Runtime keeps the pointer to the data, which stays borrowed, is
        // aligned for its type and valid for as many bytes as the slice has.
        unsafe {
            ort::Error::result_from_status((ort::api().CreateTensorWithDataAsOrtValue)(
                info.ptr(),
                data.as_mut_ptr().cast(),
                size_of_val(data),
                dimensions.as_ptr(),
                dimensions.len(),
                T::TYPE,
                &raw mut value,
            ))?;
        }
        NonNull::new(value)
            .map(|pointer| Self { pointer, memory: PhantomData })
            .ok_or_else(|| ort::Error::new("no tensor was made"))
    }

    pub(super) fn pointer(&self) -> *const OrtValue {
        self.pointer.as_ptr()
    }
}

impl Drop for TensorView<'_> {
    fn drop(&mut self) {
        // SAFETY: The value was made by `new` and is released once.
        unsafe { (ort::api().ReleaseValue)(self.pointer.as_ptr()) }
    }
}
