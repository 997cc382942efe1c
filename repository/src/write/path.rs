//! Where a directory is: names from the root, shared by its children.

use std::sync::Arc;

/// A directory on the way, by its name and its parent.
#[derive(Debug)]
pub(super) struct DirectoryPath {
    /// Node of the directory that holds the entry, and the entry's name; `None` for the root.
    pub(super) entry: Option<(u64, Box<[u8]>)>,
    parent: Option<Arc<DirectoryPath>>,
}

impl DirectoryPath {
    pub(super) fn root() -> Arc<DirectoryPath> {
        Arc::new(DirectoryPath { entry: None, parent: None })
    }

    pub(super) fn child(self: &Arc<Self>, directory: u64, name: impl Into<Box<[u8]>>) -> Arc<DirectoryPath> {
        Arc::new(DirectoryPath { entry: Some((directory, name.into())), parent: Some(self.clone()) })
    }

    /// The names from the root.
    pub(super) fn names(&self) -> Vec<&[u8]> {
        let mut names = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            names.extend(path.entry.as_ref().map(|(_, name)| &**name));
            at = path.parent.as_deref();
        }
        names.reverse();
        names
    }

    /// For people: names joined, whatever is not text escaped.
    pub(super) fn display(&self, name: &[u8]) -> String {
        let mut all = self.names();
        if !name.is_empty() {
            all.push(name);
        }
        all.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join("/")
    }
}

impl Drop for DirectoryPath {
    /// A chain of thousands of directories is let go in a loop, not on the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(path) = next.and_then(Arc::into_inner) {
            let mut path = path;
            next = path.parent.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_root_and_a_deep_chain_is_let_go() {
        let mut path = DirectoryPath::root();
        for _ in 0..200_000 {
            path = path.child(1, *b"d");
        }
        assert_eq!(path.names().len(), 200_000);
        let odd = DirectoryPath::root().child(1, *b"a").child(2, *b"\xff\n");
        assert_eq!(odd.display(b"f"), "a/\\xff\\n/f");
    }
}
