//! Whether the keys that a commit brings into the tree are new.
//!
//! RFC 9420 §12.4.2 asks for it; OpenMLS 0.9.2 checks it for leaves only. Of a path key that was there before, it takes
//! notice while merging, when it is too late: the group is half changed then.

use std::collections::HashMap;

use openmls::prelude::Node;
use openmls::treesync::RatchetTree;
use tls_codec::{Deserialize as _, Serialize as _, Size as _, VLBytes};

use super::Leaf;

/// Encryption keys of a tree by the index of their node (RFC 9420 appendix C: leaf n has 2n).
pub(super) struct TreeKeys {
    by_node: HashMap<u64, Vec<u8>>,
    /// Nodes, blank ones included.
    width: u64,
}

impl TreeKeys {
    /// Reads the keys out of how the tree is encoded, since the library does not hand out parents' keys, nor where
    /// nodes are. `None` if that is not as RFC 9420 §12.4.3.3 says.
    pub(super) fn read(tree: &RatchetTree) -> Option<Self> {
        let encoded = tree.tls_serialize_detached().ok()?;
        let content = VLBytes::tls_deserialize_exact(encoded.as_slice()).ok()?;
        let mut rest = content.as_slice();
        let mut nodes = tree.nodes();
        let mut by_node = HashMap::new();
        let mut width = 0;
        while let Some((&presence, after)) = rest.split_first() {
            rest = after;
            if presence == 1 {
                let node: &Node = nodes.next()?;
                let (bytes, after) = rest.split_at_checked(node.tls_serialized_len())?;
                rest = after;
                // The type of the node; then both kinds begin with the key.
                let mut fields = bytes.get(1..)?;
                by_node.insert(width, VLBytes::tls_deserialize(&mut fields).ok()?.as_slice().to_vec());
            }
            width += 1;
        }
        Some(Self { by_node, width })
    }

    /// Whether a commit by a leaf, after which the tree has `self` as its keys, brought only keys that were in no node
    /// of `before`, and no key twice.
    pub(super) fn are_fresh(&self, before: &Self, committer: Leaf) -> bool {
        let mut seen = std::collections::HashSet::new();
        if !self.by_node.values().all(|key| seen.insert(key)) {
            return false;
        }
        let old: std::collections::HashSet<_> = before.by_node.values().collect();
        let leaf = u64::from(committer) * 2;
        std::iter::once(leaf)
            .chain(direct_path(leaf, self.width))
            .filter_map(|node| self.by_node.get(&node))
            .all(|key| !old.contains(key))
    }
}

/// The nodes above a node, up to the root, in a tree of so many nodes (RFC 9420 appendix C).
fn direct_path(node: u64, width: u64) -> impl Iterator<Item = u64> {
    let leaves = width.div_ceil(2).max(1).next_power_of_two();
    let root = leaves - 1;
    std::iter::successors(Some(node), move |&node| {
        if node == root {
            return None;
        }
        let level = node.trailing_ones();
        let right = (node >> (level + 1)) & 1;
        Some((node | (1 << level)) ^ (right << (level + 1)))
    })
    .skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_rfc() {
        // The tree of eight leaves in RFC 9420 appendix C.
        for (leaf, path) in
            [(0, [1, 3, 7]), (4, [5, 3, 7]), (6, [5, 3, 7]), (8, [9, 11, 7]), (14, [13, 11, 7])]
        {
            assert_eq!(direct_path(leaf, 15).collect::<Vec<_>>(), path, "{leaf}");
        }
        assert_eq!(direct_path(4, 5).collect::<Vec<_>>(), [5, 3]);
        assert_eq!(direct_path(0, 1).count(), 0);
    }
}
