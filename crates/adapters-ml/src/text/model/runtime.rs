//! ONNX Runtime is a shared library that is found when the program starts, not when it is built.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::LoadError;

/// The process's only environment. It lives until the process ends, since sessions come and go.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads ONNX Runtime's library (`libonnxruntime.so`) from `path`, once a process: later calls succeed at once, whatever their path.
///
/// Fails with [`LoadError::Runtime`] where the file is no such library, or one older than this program needs.
pub fn init_runtime(path: &Path) -> Result<(), LoadError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if environment.is_none() {
        let builder = ort::init_from(path).map_err(|error| LoadError::Runtime(format!("{}: {error}", path.display())))?;
        let new = builder.with_name("tertulia").with_telemetry(false).build()?;
        // Otherwise every message is written out, on every step, before it is thrown away.
        new.set_log_level(LogLevel::Warning);
        *environment = Some(new);
    }
    Ok(())
}

pub(super) fn environment() -> Result<Environment, LoadError> {
    let environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    environment.clone().ok_or_else(|| LoadError::Runtime("its library has not been loaded: call init_runtime first".to_owned()))
}

/// Whether this processor multiplies unsigned by signed bytes without saturating. One with AVX2 but none of the later instructions adds two
/// products in 16 bits, which is not enough; ONNX Runtime then has a slower way (`session.x64quantprecision`).
pub(super) fn multiplies_bytes_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// Gives the memory of buffers that are no longer needed back to the system. glibc keeps what threads that have ended freed, which after
/// loading is as much as the weights themselves.
pub(in crate::text) fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library's function has no safe wrapper")]
    // SAFETY: The function takes no pointers and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
