//! What the targets share: a model's folder in which one file is replaced by nonsense, and the loader with little memory to give.
//!
//! A target passes if nothing panics, hangs or takes more memory than it was allowed. What a file holds is refused or loaded; both are fine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use adapters_ml::text::model::{LoadedModel, ModelOptions, Precision, init_runtime};
use tempfile::TempDir;

/// The fixtures by which a configuration is judged.
pub const MODELS: [&str; 3] = ["gpt2-distilled", "llama-tiny", "qwen2-tiny"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the fuzz folder is in the project's")
}

/// A file of one of the fixtures.
pub fn fixture(model: &str, file: &str) -> PathBuf {
    root().join("crates/adapters-ml/tests/fixtures").join(model).join(file)
}

/// A folder in memory with a copy of a fixture, of which any file can be replaced.
pub struct ModelFolder(TempDir);

impl ModelFolder {
    /// A copy of this fixture.
    pub fn copy_of(model: &str) -> Self {
        // Each input writes a file; a disk would be worn out by it.
        let in_memory = Path::new("/dev/shm");
        let parent = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture(model, file), folder.path().join(file)).expect("a fixture");
        }
        Self(folder)
    }

    /// Puts other content into a file.
    pub fn replace(&self, file: &str, content: &[u8]) {
        std::fs::write(self.0.path().join(file), content).expect("room in memory");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Loads it as a server would, but into 16 MB.
    pub fn load(&self) {
        static RUNTIME: OnceLock<()> = OnceLock::new();
        RUNTIME.get_or_init(|| {
            let library = std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH, which scripts/fuzz.sh sets");
            init_runtime(Path::new(&library)).expect("ONNX Runtime");
        });
        let options = ModelOptions {
            precision: Precision::Int8,
            memory_bytes: 16 << 20,
            max_slots: 1,
            max_chunk: 16,
            intra_threads: 1,
            ..ModelOptions::default()
        };
        if let Err(error) = LoadedModel::load(self.path(), &options) {
            assert!(!error.to_string().is_empty(), "an error says what is wrong");
        }
    }
}
