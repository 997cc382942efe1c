//! Extended attributes of one entry of a source.
//!
//! In: a descriptor, real or `O_PATH`. Out: names and values. Never: more of them than a bound, or half a list: what cannot be read is said.

use nix::errno::Errno;
use repository::source::SourceError;

use crate::error::source_error;
use crate::sys::xattr::{Owner, XATTR_BYTES_MAX};

/// Names and values of one entry's extended attributes together; 64 KiB of names times 64 KiB of value would be a way to fill our memory.
const EXTENDED_BYTES_MAX: usize = 1 << 20;

/// Extended attributes: names and values.
pub(crate) type Extended = Vec<(Vec<u8>, Vec<u8>)>;

/// All extended attributes of a descriptor, sorted by name.
pub(crate) fn extended(owner: Owner<'_>, text: &str) -> Result<Extended, SourceError> {
    let unreadable = |why: &str| SourceError::Unreadable { what: text.to_owned(), why: why.to_owned() };
    // Most entries have none: the first question must not cost 64 KiB of zeroed memory.
    let mut few = [0_u8; 256];
    let mut buffer = Vec::new();
    let listed = match owner.list(&mut few) {
        Err(Errno::ERANGE) => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            owner.list(&mut buffer)
        }
        Ok(length) if length > 0 => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            buffer[..length].copy_from_slice(&few[..length]);
            Ok(length)
        }
        other => other,
    };
    let length = match listed {
        Ok(0) | Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        Ok(length) => length,
        Err(Errno::E2BIG | Errno::ERANGE) => {
            return Err(unreadable("it has more extended attributes than the kernel lists"));
        }
        Err(errno) => return Err(source_error(text.to_owned(), errno)),
    };
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    let mut out = Vec::with_capacity(names.len());
    let mut total = 0;
    for name in names {
        match owner.get(&name, &mut buffer) {
            Ok(size) => {
                total += name.len() + size;
                out.push((name, buffer[..size].to_vec()));
            }
            // Removed since it was listed.
            Err(Errno::ENODATA) => {}
            Err(errno) => {
                return Err(unreadable(&format!("extended attribute {}: {}", name.escape_ascii(), errno.desc())));
            }
        }
        if total > EXTENDED_BYTES_MAX {
            return Err(unreadable("its extended attributes exceed 1 MiB"));
        }
    }
    out.sort();
    Ok(out)
}
