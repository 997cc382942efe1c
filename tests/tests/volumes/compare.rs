//! Compare: two trees by the word of GNU tools, never by our own code.
//!
//! In: two directories. Out: nothing, or the first lines that differ. Never: compares what no copy can keep: inode numbers, ctimes, sizes of directories.

use std::path::Path;

use crate::program::shell;

/// What a file of which more than this is allocated is hashed like; larger files are sparse ones that nobody can read whole.
const HASHED_BYTES_MAX: &str = "67108865c";
const PAGE: u64 = 4096;

/// What the tools say of a tree: a question and the answer's lines, sorted.
pub(crate) struct Account(Vec<(&'static str, Vec<String>)>);

/// Asks everything.
pub(crate) fn account(root: &Path) -> Account {
    let every = "find . -print0 | sort -z | xargs -0 -r";
    let questions = [
        ("entries", r"find . -printf '%y %m %U:%G %n links %T@ %l %P\0'".to_owned()),
        ("sizes", r"find . ! -type d -printf '%s %P\0'".to_owned()),
        ("devices", r"find . \( -type b -o -type c \) -exec stat --printf '%t:%T %n\0' {} +".to_owned()),
        ("attributes", format!("{every} getfattr -h -d -m- -e hex --")),
        ("ACLs", "find . ! -type l -print0 | sort -z | xargs -0 -r getfacl -n -p --".to_owned()),
        (
            "content",
            format!("find . -type f -size -{HASHED_BYTES_MAX} -print0 | sort -z | xargs -0 -r sha256sum -z --"),
        ),
        // The map of data and holes, and all data.
        (
            "sparse content",
            format!(
                "find . -type f -size +{HASHED_BYTES_MAX} -print0 | sort -z | while IFS= read -r -d '' file; do \
                 tar --sparse --hole-detection=seek --numeric-owner -cf - \"$file\" | sha256sum; done"
            ),
        ),
    ];
    let mut account: Vec<(&'static str, Vec<String>)> =
        questions.into_iter().map(|(title, script)| (title, lines(&shell(root, &script)))).collect();
    account.push(("hard links", link_groups(root)));
    Account(account)
}

fn lines(answer: &str) -> Vec<String> {
    // Answers about attributes are in the order of the names already, and a line alone does not say whose it is.
    if !answer.contains('\0') {
        return answer.lines().map(str::to_owned).collect();
    }
    let mut lines: Vec<String> = answer.split('\0').map(|line| line.escape_debug().to_string()).collect();
    lines.sort();
    lines
}

/// The names of each file that has several.
fn link_groups(root: &Path) -> Vec<String> {
    let listed = shell(root, r"find . ! -type d -links +1 -printf '%D:%i %P\0'");
    let mut groups: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for (inode, name) in listed.split('\0').filter_map(|line| line.split_once(' ')) {
        groups.entry(inode).or_default().push(name);
    }
    let mut groups: Vec<String> = groups
        .into_values()
        .map(|mut names| {
            names.sort_unstable();
            format!("{names:?}")
        })
        .collect();
    groups.sort();
    groups
}

impl Account {
    /// The tree at `root` is what this one was.
    #[track_caller]
    pub(crate) fn assert_same(&self, root: &Path, what: &str) {
        for ((title, expected), (_, found)) in self.0.iter().zip(account(root).0) {
            let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).take(5).collect();
            let extra: Vec<_> = found.iter().filter(|line| !expected.contains(line)).take(5).collect();
            assert!(*expected == found, "{what}: {title} differ: {missing:#?} became {extra:#?}");
        }
    }
}

/// No sparse file takes more than a page per range of data more than it took, and one for attributes.
#[track_caller]
pub(crate) fn assert_as_sparse(before: &Path, after: &Path) {
    let allocated = |root: &Path| {
        let listed = shell(root, r"sync -f . && find . -type f -size +0 -printf '%b %s %P\0' | sort -z -k 3");
        let rows: Vec<(u64, u64, String)> = listed.split('\0').filter(|line| !line.is_empty()).map(row).collect();
        rows
    };
    for (before_row, after_row) in allocated(before).into_iter().zip(allocated(after)) {
        let ((blocks, size, name), (after_blocks, _, after_name)) = (&before_row, &after_row);
        assert_eq!(name, after_name);
        if blocks * 512 >= *size {
            continue;
        }
        let ranges = shell(before, &format!("xfs_io -r -c 'seek -a -r 0' ./'{name}' | grep -c DATA || true"));
        let slack = PAGE * (ranges.trim().parse::<u64>().expect("a number") + 1);
        let (was, is) = (blocks * 512, after_blocks * 512);
        assert!(is <= was + slack, "{name}: {was} bytes allocated became {is}");
    }
}

fn row(line: &str) -> (u64, u64, String) {
    let mut words = line.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
    let (blocks, size) = (number(), number());
    (blocks, size, words.next().expect("a name").to_owned())
}
