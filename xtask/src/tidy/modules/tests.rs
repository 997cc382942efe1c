//! Tests of the rules about modules, on projects of a few lines.

use super::*;

fn findings(files: &[(&str, &str)], roots: &[&str]) -> Vec<String> {
    let sources: Vec<Source> =
        files.iter().map(|(file, text)| Source { file: file.into(), text: (*text).to_owned() }).collect();
    let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    check(&sources, &roots).iter().map(ToString::to_string).collect()
}

#[test]
fn a_tree_of_modules_is_followed_to_its_leaves() {
    let files = [
        ("a/src/lib.rs", "//! A.\nmod b;\npub mod c;\npub(crate) mod d; // why\n#[cfg(test)] mod tests;\n"),
        ("a/src/b.rs", "//! B.\nmod inner;\n"),
        ("a/src/b/inner.rs", "//! Inner.\n"),
        ("a/src/c.rs", "//! C.\n"),
        ("a/src/d.rs", "//! D.\n"),
        ("a/src/tests.rs", "//! T.\n"),
        ("a/tests/e.rs", "//! E.\nmod f;\n"),
        ("a/tests/f.rs", "//! F.\n"),
    ];
    assert_eq!(findings(&files, &["a/src/lib.rs", "a/tests/e.rs"]), Vec::<String>::new());
}

#[test]
fn a_file_that_nothing_declares_is_dead() {
    let files = [("a/src/lib.rs", "//! A.\n// mod b;\nmod c { }\n"), ("a/src/b.rs", "//! B.\n")];
    let found = findings(&files, &["a/src/lib.rs"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a/src/b.rs: is reached by no `mod`"), "{found:?}");
}

#[test]
fn a_module_of_a_sibling_does_not_keep_a_file_alive() {
    let files = [
        ("a/src/lib.rs", "//! A.\nmod b;\n"),
        ("a/src/b.rs", "//! B.\nmod c;\n"),
        ("a/src/b/c.rs", "//! C.\n"),
        ("a/src/c.rs", "//! C.\n"),
    ];
    let found = findings(&files, &["a/src/lib.rs"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a/src/c.rs"), "{found:?}");
}

#[test]
fn a_path_attribute_is_followed() {
    let files = [
        ("a/src/lib.rs", "//! A.\n#[path = \"../generated/x.rs\"]\n#[rustfmt::skip]\nmod b;\n"),
        ("a/generated/x.rs", "//! X.\n"),
    ];
    assert_eq!(findings(&files, &["a/src/lib.rs"]), Vec::<String>::new());
}

#[test]
fn a_file_without_a_head_is_found() {
    for text in ["fn main() {}\n", "// A comment.\n", "/// Not the module's.\nfn x() {}\n", "", "//!\nfn x() {}\n"] {
        let found = findings(&[("a/src/lib.rs", text)], &["a/src/lib.rs"]);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].contains("does not say what it is"), "{found:?}");
    }
    assert!(findings(&[("a/src/lib.rs", "#![no_main]\n\n//! A.\n")], &["a/src/lib.rs"]).is_empty());
}

#[test]
fn names_that_say_nothing_are_found() {
    for file in ["a/src/utils.rs", "a/src/common/x.rs", "a/src/misc.rs", "a/src/x/mod.rs", "a/src/holdfast.rs"] {
        let found = findings(&[(file, "//! X.\n")], &[file]);
        assert_eq!(found.len(), 1, "{file}: {found:?}");
    }
}
