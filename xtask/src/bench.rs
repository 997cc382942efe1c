//! Bench placeholder head.
use crate::{tidy::Finding, workspace::Workspace};
use anyhow::Result;
pub(crate) fn stale_document(_workspace: &Workspace) -> Result<Vec<Finding>> {
    Ok(Vec::new())
}
