//! Facts about the nodes of a network.

use flukewatch_network::{Node, NodeId, Op};

/// The last node that reads each node's output, after which it can be released.
pub(super) fn last_readers(nodes: &[Node]) -> Vec<NodeId> {
    let mut last = vec![0; nodes.len()];
    for (id, node) in nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&i| last[i] = id);
    }
    last
}

/// Whether node `id` may overwrite its first input: nothing else reads it, and the caller does not keep
/// it.
pub(super) fn in_place(nodes: &[Node], last_readers: &[NodeId], id: NodeId) -> bool {
    let from = nodes[id].inputs[0];
    last_readers[from] == id && !matches!(nodes[from].op, Op::Input)
}

pub(super) fn frozen(frozen_blocks: Option<usize>, block: usize) -> bool {
    frozen_blocks.is_some_and(|frozen| block <= frozen)
}
