use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A conversation that was edited or answered again is a tree: every message names the one before it. What the user
/// saw last is one branch of it.
pub(super) struct Tree<'a, T> {
    nodes: HashMap<Cow<'a, str>, Node<'a, T>>,
    added: usize,
}

struct Node<'a, T> {
    parent: Option<Cow<'a, str>>,
    /// Position in the file.
    order: usize,
    value: T,
}

impl<'a, T> Tree<'a, T> {
    pub(super) fn new() -> Self {
        Tree { nodes: HashMap::new(), added: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node; one with the same id is replaced.
    pub(super) fn add(&mut self, id: Cow<'a, str>, parent: Option<Cow<'a, str>>, value: T) {
        self.added += 1;
        self.nodes.insert(id, Node { parent, order: self.added, value });
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.nodes.contains_key(id)
    }

    /// Whether some message has two answers or two edits.
    pub(super) fn forks(&self) -> bool {
        let mut seen = HashSet::new();
        self.nodes.values().filter_map(|node| node.parent.as_deref()).any(|parent| !seen.insert(parent))
    }

    /// The last node in the file that no other follows; `None` where all go round in a circle.
    pub(super) fn last_leaf(&self) -> Option<Cow<'a, str>> {
        let parents: HashSet<&str> = self.nodes.values().filter_map(|node| node.parent.as_deref()).collect();
        let leaves = self.nodes.iter().filter(|(id, _)| !parents.contains(id.as_ref()));
        leaves.max_by_key(|(_, node)| node.order).map(|(id, _)| id.clone())
    }

    /// The values from the root to `leaf`. A parent that is not there ends the way, as does one met before.
    pub(super) fn branch(mut self, leaf: Cow<'a, str>) -> Vec<T> {
        let mut branch = Vec::new();
        let mut next = Some(leaf);
        while let Some(node) = next.and_then(|id| self.nodes.remove(&id)) {
            branch.push(node.value);
            next = node.parent;
        }
        branch.reverse();
        branch
    }
}
