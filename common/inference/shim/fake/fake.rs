// Compiles `fake.c` for a test, with macros that say how the fake fails. Tests of several crates
// include this file.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A temporary folder with a fake shim and a folder for plans.
pub(crate) struct FakeShim {
    folder: TempDir,
}

impl FakeShim {
    /// A fake for TensorRT 10 with these macros.
    pub(crate) fn new(macros: &[(&str, &str)]) -> Self {
        let fake = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(fake.shims()).unwrap();
        fake.compile(10, macros);
        fake
    }

    /// Puts a fake into the folder under the name of the shim for `major`.
    pub(crate) fn compile(&self, major: u32, macros: &[(&str, &str)]) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("common/inference/shim"))
            .find(|shim| shim.is_dir())
            .expect("the sources of the shim are in the workspace");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let text = |path: PathBuf| format!("\"{}\"", path.display());
        let mut cc = Command::new(compiler);
        cc.args([
            "-std=gnu11",
            "-O1",
            "-fPIC",
            "-shared",
            "-pthread",
            "-Wall",
            "-Werror",
        ])
        .arg("-I")
        .arg(&source)
        .arg(format!("-DFAKE_BUILDS={}", text(self.builds_file())));
        for (name, value) in macros {
            let value = if *name == "FAKE_GATE" {
                text(self.gate())
            } else {
                (*value).to_owned()
            };
            cc.arg(format!("-D{name}={value}"));
        }
        let file = self.shims().join(format!("libflukewatch_trt{major}.so"));
        let output = cc
            .arg("-o")
            .arg(file)
            .arg(source.join("fake/fake.c"))
            .output()
            .expect("tests of TensorRT's engine need a C compiler, `cc` or what CC names");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// The folder of shims.
    pub(crate) fn shims(&self) -> PathBuf {
        self.folder.path().join("shims")
    }

    /// The folder of plans.
    pub(crate) fn plans(&self) -> PathBuf {
        self.folder.path().join("plans")
    }

    /// The file that builds wait for if the macro `FAKE_GATE` is set.
    pub(crate) fn gate(&self) -> PathBuf {
        self.folder.path().join("gate")
    }

    fn builds_file(&self) -> PathBuf {
        self.folder.path().join("builds")
    }

    /// The number of plans built so far.
    pub(crate) fn builds(&self) -> usize {
        self.built().len()
    }

    /// A letter for each plan built so far: `d` for a detector's, `m` for another model's.
    pub(crate) fn built(&self) -> String {
        std::fs::read_to_string(self.builds_file()).unwrap_or_default()
    }
}
