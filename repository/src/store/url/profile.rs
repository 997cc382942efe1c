//! Profiles of the AWS command line: keys and a region from its two files.
//!
//! In: the name of a profile and the environment, which may say where the files are. Out: what the files say. Never: runs a program or signs
//! anybody on, as a profile may ask; a file that does not exist says nothing.

use std::path::{Path, PathBuf};

use super::{Environment, OpenError};

/// The files are a few lines long; more than this is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the files say of a profile.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) key_id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) token: Option<String>,
    pub(super) region: Option<String>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("key_id", &self.key_id).field("region", &self.region).finish_non_exhaustive()
    }
}

/// The profile `name` from `~/.aws/credentials` and `~/.aws/config`, or from where `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE` say.
pub(super) fn read_profile(name: &str, environment: Environment<'_>) -> Result<Profile, OpenError> {
    let file = |variable: &str, default: &str| {
        let named = environment(variable).map(PathBuf::from);
        named.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".aws").join(default)))
    };
    let mut profile = Profile::default();
    if let Some(path) = file("AWS_SHARED_CREDENTIALS_FILE", "credentials") {
        apply(&mut profile, &read(&path)?, name);
    }
    if let Some(path) = file("AWS_CONFIG_FILE", "config") {
        let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        apply(&mut profile, &read(&path)?, &section);
    }
    Ok(profile)
}

fn read(path: &Path) -> Result<String, OpenError> {
    let failed = |cause: String| OpenError::Credentials { cause: format!("cannot read {}: {cause}", path.display()) };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error.to_string())),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(failed("it is larger than 1 MiB".to_owned())),
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// Takes from one section what an earlier file did not say.
fn apply(profile: &mut Profile, text: &str, section: &str) {
    let mut inside = false;
    for line in text.lines() {
        // An indented line belongs to a nested setting, none of which matters here.
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if nested || line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let title = header.split(']').next().unwrap_or_default();
            inside = title.split_whitespace().eq(section.split_whitespace());
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let target = match key.trim() {
            "aws_access_key_id" => &mut profile.key_id,
            "aws_secret_access_key" => &mut profile.secret,
            "aws_session_token" => &mut profile.token,
            "region" => &mut profile.region,
            _ => continue,
        };
        if target.is_none() && !value.trim().is_empty() {
            *target = Some(value.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "
# the default one
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key=sec/ret+def=

[ other ]
aws_access_key_id = AKOTHER
aws_secret_access_key = other
aws_session_token = token
s3 =
    region = nested
";

    #[test]
    fn a_section_is_read_and_no_other() {
        let mut profile = Profile::default();
        apply(&mut profile, CREDENTIALS, "default");
        assert_eq!(profile.key_id.as_deref(), Some("AKDEFAULT"));
        assert_eq!(profile.secret.as_deref(), Some("sec/ret+def="));
        assert_eq!(profile.token, None);

        let mut profile = Profile::default();
        apply(&mut profile, CREDENTIALS, "other");
        assert_eq!(profile.token.as_deref(), Some("token"));
        assert_eq!(profile.region, None, "a nested setting is not the profile's");

        let mut profile = Profile::default();
        apply(&mut profile, CREDENTIALS, "absent");
        assert_eq!(profile, Profile::default());
    }

    #[test]
    fn what_a_profile_prints_is_no_secret() {
        let profile = Profile { secret: Some("hush".to_owned()), token: Some("hush".to_owned()), ..Profile::default() };
        assert!(!format!("{profile:?}").contains("hush"));
    }

    #[test]
    fn the_config_file_adds_a_region() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        std::fs::write(folder.path().join(".aws/config"), "[default]\nregion = a\n[profile other]\nregion = b\n")
            .unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        let environment = move |name: &str| (name == "HOME").then(|| home.clone());
        assert_eq!(read_profile("other", &environment).unwrap().region.as_deref(), Some("b"));
        assert_eq!(read_profile("default", &environment).unwrap().region.as_deref(), Some("a"));
    }
}
