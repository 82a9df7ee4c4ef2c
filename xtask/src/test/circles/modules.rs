//! The modules of a crate, the imports of each, and the items of others that its code names.

use super::tokens::{Text, Token, tokens};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path in its crate; the root's is empty.
pub(super) type Name = Vec<String>;

/// All modules of a crate except those of tests.
#[derive(Debug)]
pub(super) struct Modules {
    all: BTreeMap<Name, Module>,
}

/// A module, in its own file or inline.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    /// The module whose file it is in.
    home: Name,
    /// Imports: the name in scope, and the path that it stands for.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths that its code names, with the line.
    paths: Vec<(Vec<String>, usize)>,
}

/// Code of one module that names an item of another.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl Modules {
    /// Parses the crate whose root is `file`.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let mut modules = Self {
            all: BTreeMap::new(),
        };
        let folder = file
            .parent()
            .context("the root file has no parent folder")?;
        modules.read_file(vec![], file, folder)?;
        Ok(modules)
    }

    /// Number of files.
    pub(super) fn files(&self) -> usize {
        self.all
            .iter()
            .filter(|(name, module)| **name == module.home)
            .count()
    }

    fn read_file(&mut self, name: Name, file: &Path, folder: &Path) -> anyhow::Result<()> {
        let source =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let tokens = without_tests(&tokens(&source));
        let mut parser = Parser {
            modules: self,
            file,
            home: name.clone(),
            declared: vec![],
        };
        parser.module(name.clone(), &tokens);
        for declared in parser.declared {
            let path: PathBuf = declared[name.len()..].iter().collect();
            let beside = folder.join(&path).with_extension("rs");
            let file = if beside.is_file() {
                beside
            } else {
                folder.join(&path).join("mod.rs")
            };
            self.read_file(declared, &file, &folder.join(&path))?;
        }
        Ok(())
    }

    /// The module of this crate that a path in module `from` leads into.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Name> {
        let (first, mut rest) = path.split_first()?;
        let mut place: Name = match first.as_str() {
            "crate" => vec![],
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            other => {
                let child = [from, &[other.to_owned()]].concat();
                if !self.all.contains_key(&child) {
                    return self.imported(from, path, depth);
                }
                child
            }
        };
        while let Some((next, more)) = rest.split_first() {
            if next == "super" {
                place.pop()?;
            } else {
                let child = [&place[..], std::slice::from_ref(next)].concat();
                if !self.all.contains_key(&child) {
                    break;
                }
                place = child;
            }
            rest = more;
        }
        if rest.is_empty() || rest[0] == "*" {
            return Some(place);
        }
        match self.all.get(&place)?.imports.contains_key(&rest[0]) {
            // Items of other crates are ignored.
            true => self.imported(&place, rest, depth),
            false => Some(place),
        }
    }

    /// Resolves a name that `place` imports to its original.
    fn imported(&self, place: &[String], path: &[String], depth: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let target = self.all.get(place)?.imports.get(first)?;
        // A glob, or a name that stands for itself, would recurse forever.
        if depth == 0 || target.first() == Some(first) {
            return None;
        }
        self.resolve(place, &[target, rest].concat(), depth - 1)
    }

    /// All uses of one file by another.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = vec![];
        for (name, module) in &self.all {
            for (path, line) in &module.paths {
                let Some(to) = self.resolve(name, path, 8) else {
                    continue;
                };
                let Some(target) = self.all.get(&to) else {
                    continue;
                };
                if target.home != module.home {
                    uses.push(Use {
                        from: module.home.clone(),
                        to: target.home.clone(),
                        file: module.file.clone(),
                        line: *line,
                    });
                }
            }
        }
        uses
    }
}

/// Parses the modules in a file.
struct Parser<'a> {
    modules: &'a mut Modules,
    file: &'a Path,
    home: Name,
    /// Modules in their own files.
    declared: Vec<Name>,
}

impl Parser<'_> {
    fn module(&mut self, name: Name, tokens: &[Token]) {
        let mut module = Module {
            file: self.file.to_owned(),
            home: self.home.clone(),
            ..Module::default()
        };
        let mut i = 0;
        while let Some(token) = tokens.get(i) {
            let starts_item = i == 0
                || ["{", "}", ";", "]", ")"]
                    .iter()
                    .any(|m| tokens[i - 1].is(m.chars().next().unwrap_or('}')))
                || tokens[i - 1].is_word("pub");
            if token.is_word("mod") && starts_item {
                let Some(child) = tokens.get(i + 1).and_then(Token::word) else {
                    i += 1;
                    continue;
                };
                let child = [&name[..], &[child.to_owned()]].concat();
                if tokens.get(i + 2).is_some_and(|t| t.is('{')) {
                    let end = closing(tokens, i + 2);
                    self.module(child, &tokens[i + 3..end]);
                    i = end + 1;
                } else {
                    self.declared.push(child);
                    i += 3;
                }
            } else if token.is_word("use") && starts_item {
                let end = (i..tokens.len())
                    .find(|&j| tokens[j].is(';'))
                    .unwrap_or(tokens.len());
                let exported = i > 0 && (tokens[i - 1].is_word("pub") || tokens[i - 1].is(')'));
                for leaf in leaves(&tokens[i + 1..end]) {
                    module.import(leaf, exported);
                }
                i = end + 1;
            } else if token.word().is_some() && (i == 0 || tokens[i - 1].text != Text::Path) {
                let path = path_at(tokens, i);
                let length = 2 * path.len() - 1;
                if path.len() > 1 || module.imports.contains_key(&path[0]) {
                    module.paths.push((path, token.line));
                }
                i += length;
            } else {
                i += 1;
            }
        }
        self.modules.all.insert(name, module);
    }
}

impl Module {
    fn import(&mut self, leaf: Leaf, exported: bool) {
        let Leaf { path, name, line } = leaf;
        // A re-export is not a use; an import counts at its own line, for the message.
        if !exported {
            self.paths.push((path.clone(), line));
        }
        if name != "_" && name != "*" {
            self.imports.insert(name, path);
        }
    }
}

/// Parses `a::b::c` from a word on.
fn path_at(tokens: &[Token], start: usize) -> Vec<String> {
    let mut path = vec![];
    let mut i = start;
    while let Some(word) = tokens.get(i).and_then(Token::word) {
        path.push(word.to_owned());
        if tokens.get(i + 1).is_none_or(|t| t.text != Text::Path) {
            break;
        }
        i += 2;
    }
    path
}

/// A name that a `use` imports.
#[derive(Debug, PartialEq, Eq)]
struct Leaf {
    path: Vec<String>,
    name: String,
    line: usize,
}

/// The names of a `use`, without the keyword and the semicolon.
fn leaves(tokens: &[Token]) -> Vec<Leaf> {
    let mut found = vec![];
    tree(tokens, &[], &mut found);
    found
}

fn tree(tokens: &[Token], prefix: &[String], found: &mut Vec<Leaf>) {
    let mut path = prefix.to_vec();
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        if let Some(word) = token.word() {
            if word == "as" {
                let name = tokens.get(i + 1).and_then(Token::word).unwrap_or("_");
                if let Some(last) = found.last_mut() {
                    name.clone_into(&mut last.name);
                }
                return;
            }
            // `a::{self}` imports `a`.
            if word != "self" || path.is_empty() {
                path.push(word.to_owned());
            }
            if tokens.get(i + 1).is_none_or(|t| t.text != Text::Path) {
                let name = path.last().cloned().unwrap_or_default();
                found.push(Leaf {
                    path: path.clone(),
                    name,
                    line: token.line,
                });
            }
        } else if token.is('*') {
            let path = [&path[..], &["*".to_owned()]].concat();
            found.push(Leaf {
                path,
                name: "*".to_owned(),
                line: token.line,
            });
        } else if token.is('{') {
            let end = closing(tokens, i);
            for part in split(&tokens[i + 1..end]) {
                tree(part, &path, found);
            }
            return;
        }
        i += 1;
    }
}

/// Splits at the commas that are not in nested braces.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut parts, mut depth, mut start) = (vec![], 0, 0);
    for (i, token) in tokens.iter().enumerate() {
        match token.text {
            Text::Mark('{') => depth += 1,
            Text::Mark('}') => depth -= 1,
            Text::Mark(',') if depth == 0 => {
                parts.push(&tokens[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// The position where the bracket at `open` is closed.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            Text::Mark('{' | '[' | '(') => depth += 1,
            Text::Mark('}' | ']' | ')') => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Drops `#[cfg(test)]` items, and all attributes.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = vec![];
    let mut i = 0;
    while i < tokens.len() {
        let is_attribute = tokens[i].is('#')
            && (tokens.get(i + 1).is_some_and(|t| t.is('['))
                || tokens.get(i + 1).is_some_and(|t| t.is('!'))
                    && tokens.get(i + 2).is_some_and(|t| t.is('[')));
        if !is_attribute {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let open = if tokens[i + 1].is('[') { i + 1 } else { i + 2 };
        let end = closing(tokens, open);
        let inside = &tokens[open + 1..end.min(tokens.len())];
        let test = inside.len() == 4 && inside[0].is_word("cfg") && inside[2].is_word("test");
        i = if test {
            item_end(tokens, end + 1)
        } else {
            end + 1
        };
    }
    kept
}

/// The end of the item that starts here: after its semicolon, comma or body.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let is_use = (start..tokens.len())
        .take_while(|&j| !tokens[j].is(';') && !tokens[j].is('{'))
        .any(|j| tokens[j].is_word("use"));
    let mut i = start;
    while let Some(token) = tokens.get(i) {
        match token.text {
            Text::Mark(';' | ',') => return i + 1,
            Text::Mark('}') => return i,
            Text::Mark('{') if !is_use => return closing(tokens, i) + 1,
            Text::Mark('{' | '(' | '[') => i = closing(tokens, i) + 1,
            _ => i += 1,
        }
    }
    i
}
