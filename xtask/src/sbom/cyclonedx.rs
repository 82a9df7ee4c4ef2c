//! A bill of materials in CycloneDX 1.5 (ECMA-424).

use super::lock::Checksums;
use super::metadata::{Metadata, Package};
use serde::Serialize;

/// The document of one program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: About,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct About {
    component: Component,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Component {
    r#type: &'static str,
    bom_ref: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    purl: String,
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct License {
    /// In SPDX.
    expression: String,
}

#[derive(Serialize)]
struct Reference {
    r#type: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

impl Document {
    /// The document of `program`.
    ///
    /// # Errors
    /// When the workspace has no such program.
    pub(super) fn of(
        program: &str,
        metadata: &Metadata,
        checksums: &Checksums,
    ) -> anyhow::Result<Self> {
        let used = metadata.used_by(program)?;
        let dependencies = used
            .iter()
            .map(|(package, uses)| {
                let mut depends_on: Vec<String> = uses.iter().map(|p| purl(p)).collect();
                depends_on.sort();
                Dependency {
                    r#ref: purl(package),
                    depends_on,
                }
            })
            .collect();
        let mut components = used.iter().enumerate().map(|(index, (package, _))| {
            let kind = if index == 0 { "application" } else { "library" };
            component(kind, package, checksums)
        });
        let program = components.next().expect("the program comes first");
        Ok(Self {
            bom_format: "CycloneDX",
            spec_version: "1.5",
            version: 1,
            metadata: About { component: program },
            components: components.collect(),
            dependencies,
        })
    }

    /// The number of components.
    pub(super) fn components(&self) -> usize {
        self.components.len()
    }
}

fn component(kind: &'static str, package: &Package, checksums: &Checksums) -> Component {
    let checksum = checksums.of(&package.name, &package.version);
    let hash = |content: &str| Hash {
        alg: "SHA-256",
        content: content.to_owned(),
    };
    let repository = |url: &String| Reference {
        r#type: "vcs",
        url: url.clone(),
    };
    Component {
        r#type: kind,
        bom_ref: purl(package),
        name: package.name.clone(),
        version: package.version.clone(),
        description: package.description.as_ref().map(|d| d.trim().to_owned()),
        hashes: checksum.map(hash).into_iter().collect(),
        // Some old crates divide licences by a slash, which SPDX does not.
        licenses: package
            .license
            .iter()
            .map(|license| License {
                expression: license.replace('/', " OR "),
            })
            .collect(),
        purl: purl(package),
        references: package.repository.iter().map(repository).collect(),
    }
}

/// A package URL. A crate of this workspace has no registry.
fn purl(package: &Package) -> String {
    let Package { name, version, .. } = package;
    match &package.source {
        Some(_) => format!("pkg:cargo/{name}@{version}"),
        None => format!("pkg:generic/{name}@{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata() -> Metadata {
        let package = |id: &str, source: Option<&str>| {
            json!({"id": id, "name": id, "version": "1.0.0", "description": " text\n", "license": "MIT/Apache-2.0",
                   "repository": null, "source": source})
        };
        let dependency = |id: &str, kinds: &[Option<&str>]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| json!({"kind": kind})).collect();
            json!({"pkg": id, "dep_kinds": kinds})
        };
        let registry = Some("registry+https://example.org");
        let text = json!({
            "packages": [package("boat", None), package("serde", registry), package("cc", registry),
                         package("derive", registry), package("test", registry)],
            "resolve": {"nodes": [
                {"id": "boat", "deps": [dependency("serde", &[None]), dependency("cc", &[Some("build")]),
                                        dependency("test", &[Some("dev")])]},
                {"id": "serde", "deps": [dependency("derive", &[Some("dev"), None])]},
                {"id": "derive", "deps": []}, {"id": "cc", "deps": []}, {"id": "test", "deps": []},
            ]},
        });
        Metadata::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn it_lists_what_is_compiled_into_the_program_and_nothing_else() {
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lock).unwrap();
        let checksums = Checksums::read(file.path()).unwrap();
        let document = Document::of("boat", &metadata(), &checksums).unwrap();
        let found = serde_json::to_value(&document).unwrap();
        let library = |name: &str, hashes: Option<&str>| {
            let purl = format!("pkg:cargo/{name}@1.0.0");
            let mut value = json!({
                "type": "library", "bom-ref": purl, "name": name, "version": "1.0.0", "description": "text",
                "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": purl,
            });
            if let Some(hash) = hashes {
                value["hashes"] = json!([{"alg": "SHA-256", "content": hash}]);
            }
            value
        };
        assert_eq!(found["bomFormat"], "CycloneDX");
        assert_eq!(found["specVersion"], "1.5");
        assert_eq!(found["metadata"]["component"]["type"], "application");
        assert_eq!(
            found["components"],
            json!([library("derive", None), library("serde", Some("ab"))])
        );
        let boat = json!({"ref": "pkg:generic/boat@1.0.0", "dependsOn": ["pkg:cargo/serde@1.0.0"]});
        assert_eq!(found["dependencies"][0], boat);
        assert!(Document::of("ship", &metadata(), &checksums).is_err());
    }
}
