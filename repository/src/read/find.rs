//! Find: entries whose path somebody is looking for.
//!
//! In: a view and a question about paths. Out: the entries of which the answer is yes. Never: content.

use crate::Error;

use super::path::PathBytes;
use super::view::View;
use super::walk::Visited;

/// Shows every entry whose path, its names joined by `/`, matches. Directory by directory, in each by name.
pub fn find(
    view: &View,
    matcher: &dyn Fn(&[u8]) -> bool,
    sink: &mut dyn FnMut(Visited) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut joined = Vec::new();
    for visited in view.walk(&view.root()?)? {
        let visited = visited?;
        joined.clear();
        for (n, name) in visited.path.iter().enumerate() {
            if n > 0 {
                joined.push(b'/');
            }
            joined.extend_from_slice(name);
        }
        if matcher(&joined) {
            sink(visited)?;
        }
    }
    Ok(())
}

impl Visited {
    /// Its path for people.
    pub fn display(&self) -> String {
        let mut path = PathBytes::default();
        self.path.iter().for_each(|name| path.push(name));
        path.display()
    }
}
