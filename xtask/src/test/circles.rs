//! Lint: the module graph has no circle.
//!
//! The rule, at every level of every crate: take the children of a module as nodes, each together
//! with everything below it. A node uses another if its code names an item of that one. The nodes
//! must not form a circle, so that no two folders and no two files side by side depend on each
//! other.
//!
//! A module's own file is the front of its folder: it composes its children, and they may use what
//! it defines. Between a parent's file and its children, uses in both directions are therefore
//! allowed.
//!
//! A name that a module only imports or re-exports counts as its original: importing a sibling
//! through the parent is a use of the sibling. Tests (`#[cfg(test)]`) are not checked.

mod graph;
mod modules;
mod tokens;

use crate::checkout::Checkout;
use anyhow::{Context, bail};
use graph::Circle;
use modules::Modules;
use serde::Deserialize;
use std::path::PathBuf;

/// The used part of the output of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// Checks every library and program of the workspace.
///
/// # Errors
/// If there is a circle; the message lists each with the lines that close it.
pub(super) fn check(checkout: &Checkout) -> anyhow::Result<()> {
    let metadata = checkout
        .ask(
            checkout
                .cargo()
                .args(["metadata", "--no-deps", "--format-version", "1"]),
        )
        .context("cargo metadata failed")?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let (mut files, mut circles) = (0, vec![]);
    for package in &metadata.packages {
        let roots = package.targets.iter().filter(|t| {
            let linked = |kind: &String| matches!(&**kind, "lib" | "bin" | "proc-macro");
            t.kind.iter().any(linked)
        });
        for root in roots {
            let modules = Modules::read(&root.src_path)
                .with_context(|| root.src_path.display().to_string())?;
            files += modules.files();
            for circle in graph::circles(&modules) {
                circles.push(describe(checkout, &package.name, &circle));
            }
        }
    }
    if !circles.is_empty() {
        bail!(
            "{} circles in the module graph\n{}",
            circles.len(),
            circles.join("\n")
        );
    }
    println!("    {files} files, no circles");
    Ok(())
}

fn describe(checkout: &Checkout, package: &str, circle: &Circle) -> String {
    let root = checkout.path("");
    let mut text = format!("{package}: {}", circle.nodes.join(" -> "));
    for edge in &circle.uses {
        let file = edge.file.strip_prefix(&root).unwrap_or(&edge.file);
        text += &format!(
            "\n    {}:{}: uses {}",
            file.display(),
            edge.line,
            edge.target
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// The circles of a crate with these files.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let modules = Modules::read(&folder.path().join("lib.rs")).unwrap();
        graph::circles(&modules)
            .into_iter()
            .map(|c| c.nodes)
            .collect()
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod capture; mod source; mod other;"),
            (
                "capture.rs",
                "use crate::source::{Frame, open};\npub struct Capture;",
            ),
            (
                "source.rs",
                "pub struct Frame; fn f(c: &super::capture::Capture) {}",
            ),
            ("other.rs", "use crate::capture::Capture;"),
        ];
        assert_eq!(circles(&files), [["capture", "source", "capture"]]);
    }

    #[test]
    fn folders_are_one_node_each() {
        let files = [
            ("lib.rs", "pub mod train;\npub mod export;"),
            ("train.rs", "mod run; pub mod network;"),
            ("train/run.rs", "use crate::export::onnx::write;"),
            ("train/network.rs", "pub struct Network;"),
            ("export.rs", "pub mod onnx;"),
            (
                "export/onnx.rs",
                "use crate::train::network::Network;\npub fn write() {}",
            ),
        ];
        assert_eq!(circles(&files), [["export", "train", "export"]]);
    }

    #[test]
    fn siblings_that_use_each_other_through_their_parent_are_a_circle() {
        let files = [
            ("lib.rs", "mod a;"),
            (
                "a.rs",
                "mod b;\nmod c;\nuse b::B;\npub use c::C;\nfn f(_: B) {}",
            ),
            ("a/b.rs", "use super::C;\npub struct B(C);"),
            ("a/c.rs", "pub struct C;\nfn f(_: super::B) {}"),
        ];
        assert_eq!(circles(&files), [["a::b", "a::c", "a::b"]]);
    }

    #[test]
    fn a_parent_may_use_and_re_export_children_that_use_it() {
        let files = [
            ("lib.rs", "mod a;\npub use a::{A, b::B};"),
            (
                "a.rs",
                "pub mod b; mod c;\npub use b::B;\nuse std::fmt;\npub struct A;\nfn f() { c::g() }",
            ),
            (
                "a/b.rs",
                "use super::{A, fmt};\nuse crate::a::A as Other;\npub struct B(A);",
            ),
            // `super::B` is b's, `crate::B` too.
            (
                "a/c.rs",
                "use super::B;\nfn f(_: crate::B, _: super::super::A) {}",
            ),
        ];
        assert!(circles(&files).is_empty(), "{:?}", circles(&files));
    }

    #[test]
    fn tests_comments_and_strings_are_not_code() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "pub struct A;\n#[cfg(test)]\nuse crate::b::B;\n/* crate::b::B /* */ */ // crate::b::B\n\
                 const T: &str = \"crate::b::B \\\" {\"; const R: &str = r#\"crate::b::B \"x\" \"#;\n\
                 const C: [char; 2] = ['\"', '\\''];\n\
                 #[cfg(test)]\nmod tests {\n    use crate::b::B; fn f() { { } }\n}\n",
            ),
            ("b.rs", "use crate::a::A;\npub struct B<'a>(&'a A);"),
        ];
        assert!(circles(&files).is_empty(), "{:?}", circles(&files));
    }

    #[test]
    fn a_circle_names_the_lines_that_close_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("lib.rs", "mod a;\nmod b;\n");
        write(
            "a.rs",
            "pub fn a() {\n    let _ = \"\n\";\n    crate::b::b();\n}\n",
        );
        write("b.rs", "use crate::a;\npub fn b() { a::a() }\n");
        let modules = Modules::read(&folder.path().join("lib.rs")).unwrap();
        let circles = graph::circles(&modules);
        let lines: Vec<_> = circles[0]
            .uses
            .iter()
            .map(|u| (u.line, &*u.target))
            .collect();
        assert_eq!(lines, [(4, "b"), (1, "a")]);
    }

    #[test]
    fn a_module_without_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lib.rs"), "mod nowhere;").unwrap();
        let error = Modules::read(&folder.path().join("lib.rs")).unwrap_err();
        assert!(format!("{error:#}").contains("nowhere"), "{error:#}");
        assert!(Modules::read(Path::new("/no/lib.rs")).is_err());
    }
}
