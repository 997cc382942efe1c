//! Which restore point a command is about.
//!
//! In: `POINT`, `POINT:PATH` and `--volume`. Out: the point, open. Never: a path that leads out of the volume: names are looked up one by one, `..` is no name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use repository::domain::Domain;
use repository::read::{self, View};

use crate::failure::Failure;
use crate::opening::Context;
use crate::output::Path;

/// Which volume `latest` and beginnings of ids are about.
#[derive(Debug, clap::Args)]
pub(crate) struct OfVolume {
    /// Only restore points of this volume
    #[arg(long = "volume", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Opens a point for a look at it.
pub(crate) fn open(domain: &Domain, volume: &OfVolume, text: &str) -> Result<View, Failure> {
    let id = read::resolve(domain, volume.name.as_deref(), text)?;
    Ok(View::open(domain, id, read::WINDOW_BYTES_DEFAULT)?)
}

/// Opens a point for long work: it is announced, so that nobody takes the point away meanwhile.
pub(crate) fn open_announced(
    context: &Context,
    domain: &Domain,
    (volume, text): (&OfVolume, &str),
) -> Result<View, Failure> {
    let id = read::resolve(domain, volume.name.as_deref(), text)?;
    let reader = format!("{} (pid {})", context.host, std::process::id());
    Ok(View::announced(domain, id, &reader)?)
}

/// `POINT` or `POINT:PATH`; ids have no colon, paths may.
pub(crate) fn split(text: &OsStr) -> Result<(&str, &[u8]), Failure> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let (point, path) = colon.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 1..]));
    match std::str::from_utf8(point) {
        Ok(point) => Ok((point, path)),
        Err(_) => Err(Failure::Usage(format!(
            "{} is not a restore point: give an id, the beginning of one, or latest",
            Path(point.to_vec())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_have_colons_and_any_bytes() {
        let split_bytes = |bytes: &'static [u8]| split(OsStr::from_bytes(bytes)).unwrap();
        assert_eq!(split_bytes(b"latest"), ("latest", &b""[..]));
        assert_eq!(split_bytes(b"01a:b:\xff/c"), ("01a", &b"b:\xff/c"[..]));
        assert_eq!(split(OsStr::from_bytes(b"\xff:x")).unwrap_err().class().exit_code(), 2);
    }
}
