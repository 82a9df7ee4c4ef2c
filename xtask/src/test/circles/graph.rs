//! The nodes of each level of a crate, and the circles among them.

use super::modules::{Modules, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Nodes that depend on each other.
#[derive(Debug)]
pub(super) struct Circle {
    /// The nodes in order; each uses the next, the last uses the first.
    pub(super) nodes: Vec<String>,
    /// The use behind each step.
    pub(super) uses: Vec<Step>,
}

/// A line that uses the next node.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) target: String,
}

/// A child of the level's module.
type Node = String;
/// For each node, the nodes that it uses, with a line that does so.
type Level = BTreeMap<Node, BTreeMap<Node, (PathBuf, usize)>>;

/// The circles of a crate, the shortest one of each strongly connected component.
pub(super) fn circles(modules: &Modules) -> Vec<Circle> {
    let mut levels: BTreeMap<Name, Level> = BTreeMap::new();
    for edge in modules.uses() {
        let shared = edge
            .from
            .iter()
            .zip(&edge.to)
            .take_while(|(a, b)| a == b)
            .count();
        // Uses between a module's own file and its children are allowed.
        let (Some(from), Some(to)) = (edge.from.get(shared), edge.to.get(shared)) else {
            continue;
        };
        let level = levels.entry(edge.from[..shared].to_vec()).or_default();
        level.entry(to.clone()).or_default();
        level
            .entry(from.clone())
            .or_default()
            .entry(to.clone())
            .or_insert((edge.file, edge.line));
    }
    levels
        .iter()
        .flat_map(|(name, level)| groups(level).into_iter().map(|g| circle(name, level, &g)))
        .collect()
}

/// Strongly connected components of two nodes or more (Tarjan).
fn groups(level: &Level) -> Vec<BTreeSet<Node>> {
    struct Search<'a> {
        level: &'a Level,
        index: BTreeMap<&'a Node, usize>,
        low: BTreeMap<&'a Node, usize>,
        stack: Vec<&'a Node>,
        groups: Vec<BTreeSet<Node>>,
    }
    impl<'a> Search<'a> {
        fn visit(&mut self, node: &'a Node) {
            let number = self.index.len();
            self.index.insert(node, number);
            self.low.insert(node, number);
            self.stack.push(node);
            for next in self.level[node].keys() {
                if !self.index.contains_key(next) {
                    self.visit(next);
                    let reached = self.low[next];
                    self.lower(node, reached);
                } else if self.stack.contains(&next) {
                    let reached = self.index[next];
                    self.lower(node, reached);
                }
            }
            if self.low[node] == number {
                let start = self.stack.iter().position(|n| *n == node).unwrap_or(0);
                let group: BTreeSet<Node> = self.stack.drain(start..).cloned().collect();
                if group.len() > 1 {
                    self.groups.push(group);
                }
            }
        }

        fn lower(&mut self, node: &'a Node, reached: usize) {
            let low = self.low[node].min(reached);
            self.low.insert(node, low);
        }
    }
    let mut search = Search {
        level,
        index: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: vec![],
        groups: vec![],
    };
    for node in level.keys() {
        if !search.index.contains_key(node) {
            search.visit(node);
        }
    }
    search.groups
}

/// The shortest circle within a component through its first node that is on one.
fn circle(name: &Name, level: &Level, group: &BTreeSet<Node>) -> Circle {
    let shortest = group
        .iter()
        .filter_map(|start| way_back(level, group, start))
        .min_by_key(Vec::len);
    let nodes = shortest.unwrap_or_default();
    let uses = nodes
        .windows(2)
        .map(|pair| {
            let (file, line) = &level[&pair[0]][&pair[1]];
            Step {
                file: file.clone(),
                line: *line,
                target: title(name, &pair[1]),
            }
        })
        .collect();
    Circle {
        nodes: nodes.iter().map(|n| title(name, n)).collect(),
        uses,
    }
}

fn way_back(level: &Level, group: &BTreeSet<Node>, start: &Node) -> Option<Vec<Node>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = vec![];
        for way in ways {
            for next in level[way.last()?].keys().filter(|n| group.contains(*n)) {
                let extended = [&way[..], std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(extended);
                }
                if seen.insert(next.clone()) {
                    longer.push(extended);
                }
            }
        }
        ways = longer;
    }
    None
}

fn title(level: &[String], node: &str) -> String {
    level
        .iter()
        .map(String::as_str)
        .chain([node])
        .collect::<Vec<_>>()
        .join("::")
}
