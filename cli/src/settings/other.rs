//! Other: the variables that describe the store of a second repository: of a replica, or of a replica's source.
//!
//! In: the names that are set, and a variable that a store asks for. Out: the variable that answers. Never: mixes credentials: where one variable of a family is set for
//! the other store, none of the first store's counts for it.

use std::collections::BTreeSet;

/// What stands before a variable that is for the other store.
const PREFIX: &str = "HOLDFAST_OTHER_";
/// Variables that belong together begin so.
const FAMILIES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Which variables are set for the other store.
#[derive(Clone, Debug, Default)]
pub(crate) struct OtherVariables {
    set: BTreeSet<String>,
}

impl OtherVariables {
    /// From the names of all variables that are set to something.
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> OtherVariables {
        OtherVariables { set: names.into_iter().filter(|name| name.starts_with(PREFIX)).collect() }
    }

    /// The variable that answers for `name` where the other store asks.
    pub(crate) fn answering(&self, name: &str) -> String {
        let own = format!("{PREFIX}{name}");
        let family = FAMILIES.iter().find(|family| name.starts_with(**family));
        let family_is_set = family.is_some_and(|family| {
            let beginning = format!("{PREFIX}{family}");
            self.set.iter().any(|set| set.starts_with(&beginning))
        });
        if family_is_set || self.set.contains(&own) { own } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(set: &[&str], name: &str) -> String {
        OtherVariables::new(set.iter().map(|name| (*name).to_owned())).answering(name)
    }

    #[test]
    fn what_nobody_set_for_the_other_store_is_as_for_the_first() {
        assert_eq!(
            answering(&["AWS_ACCESS_KEY_ID", "HOLDFAST_OTHER_AZURE_STORAGE_ACCOUNT_KEY"], "AWS_REGION"),
            "AWS_REGION"
        );
        assert_eq!(answering(&[], "HOME"), "HOME");
    }

    #[test]
    fn credentials_are_not_mixed() {
        let set = ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "HOLDFAST_OTHER_AWS_ACCESS_KEY_ID"];
        assert_eq!(answering(&set, "AWS_ACCESS_KEY_ID"), "HOLDFAST_OTHER_AWS_ACCESS_KEY_ID");
        assert_eq!(
            answering(&set, "AWS_SESSION_TOKEN"),
            "HOLDFAST_OTHER_AWS_SESSION_TOKEN",
            "the first store's must not count"
        );
        assert_eq!(answering(&set, "GOOGLE_APPLICATION_CREDENTIALS"), "GOOGLE_APPLICATION_CREDENTIALS");
    }

    #[test]
    fn a_variable_of_no_family_stands_for_itself() {
        assert_eq!(answering(&["HOLDFAST_OTHER_HTTPS_PROXY"], "HTTPS_PROXY"), "HOLDFAST_OTHER_HTTPS_PROXY");
        assert_eq!(answering(&["HOLDFAST_OTHER_HTTPS_PROXY"], "HOME"), "HOME");
    }
}
