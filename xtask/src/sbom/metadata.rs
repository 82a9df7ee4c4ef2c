//! What `cargo metadata` says.

use anyhow::Context;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Packages and their dependencies.
#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

/// A package.
#[derive(Deserialize)]
pub(super) struct Package {
    id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    pub(super) repository: Option<String>,
    /// Where it comes from; none for this workspace's own.
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// None for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// A program's packages, the program first, each with those that it uses.
pub(super) type Used<'a> = Vec<(&'a Package, Vec<&'a Package>)>;

impl Metadata {
    pub(super) fn parse(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("cargo metadata: unexpected output")
    }

    /// What is compiled into `program`: its dependencies and theirs, without those of tests and build scripts.
    pub(super) fn used_by(&self, program: &str) -> anyhow::Result<Used<'_>> {
        let packages: BTreeMap<&str, &Package> =
            self.packages.iter().map(|p| (p.id.as_str(), p)).collect();
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let root = self.packages.iter().find(|p| p.name == program);
        let root = root.with_context(|| format!("the workspace has no package {program}"))?;
        let mut used = vec![];
        let mut seen = BTreeSet::from([root.id.as_str()]);
        let mut pending = vec![root.id.as_str()];
        while let Some(id) = pending.pop() {
            let node = nodes.get(id).with_context(|| format!("no node of {id}"))?;
            let mut uses = vec![];
            for dependency in &node.deps {
                if dependency.dep_kinds.iter().all(|kind| kind.kind.is_some()) {
                    continue;
                }
                let other = dependency.pkg.as_str();
                let package = packages
                    .get(other)
                    .with_context(|| format!("no package {other}"))?;
                uses.push(*package);
                if seen.insert(other) {
                    pending.push(other);
                }
            }
            let package = packages
                .get(id)
                .with_context(|| format!("no package {id}"))?;
            used.push((*package, uses));
        }
        used[1..].sort_by_key(|(package, _)| (&package.name, &package.version));
        Ok(used)
    }
}
