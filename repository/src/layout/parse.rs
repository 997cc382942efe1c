//! Parse: what a listed name means.
//!
//! In: any text. Out: an [`ParsedName`], or why it is none. Never: two names for one object, or an error about a name that a later version may have made.

use super::{FeatureName, Mark, MarkRun, NeededBy, ParsedName, REPOSITORY, Signature, UnknownName};
use model::{DomainId, SessionId, VolumeId};

/// Folders of a domain in which version 1 defines every name.
const DOMAIN_FOLDERS: [&str; 6] = ["keys", "sessions", "packs", "points", "marks", "damage"];

/// See [`ParsedName::parse`].
pub(super) fn object_name(name: &str) -> Result<ParsedName, UnknownName> {
    let parts: Vec<&str> = name.splitn(7, '/').collect();
    let (meaning, defined) = match parts.as_slice() {
        [REPOSITORY] => (Some(ParsedName::Repository), true),
        ["features", rest @ ..] => (feature(rest), true),
        ["keys", rest @ ..] => (recipient_key(rest), true),
        ["d", domain, folder, rest @ ..] if DOMAIN_FOLDERS.contains(folder) => {
            (domain.parse().ok().and_then(|domain| in_domain(domain, folder, rest)), true)
        }
        _ => (None, false),
    };
    match (meaning, defined) {
        (Some(meaning), _) => Ok(meaning),
        // A store can hold names of any length; what an error repeats is bounded.
        (None, true) => Err(UnknownName::Misspelled(name.chars().take(400).collect())),
        (None, false) => Err(UnknownName::Foreign(name.chars().take(400).collect())),
    }
}

fn feature(rest: &[&str]) -> Option<ParsedName> {
    let [file] = rest else { return None };
    let (name, needed_by) = file.rsplit_once('.')?;
    let needed_by = NeededBy::ALL.into_iter().find(|known| known.to_string() == needed_by)?;
    Some(ParsedName::Feature { name: name.parse::<FeatureName>().ok()?, needed_by })
}

fn recipient_key(rest: &[&str]) -> Option<ParsedName> {
    let [file] = rest else { return None };
    Some(ParsedName::RecipientKey(file.strip_suffix(".age")?.parse().ok()?))
}

fn in_domain(domain: DomainId, folder: &str, rest: &[&str]) -> Option<ParsedName> {
    match (folder, rest) {
        ("keys", [file]) => domain_key(domain, file),
        ("sessions", [file]) => session(domain, file),
        ("packs", [shard, session, sequence]) => pack(domain, shard, session, sequence),
        ("points", [volume, file]) => {
            let session = file.strip_suffix(".point")?.parse().ok()?;
            Some(ParsedName::Point { domain, volume: volume.parse().ok()?, session })
        }
        ("marks", [volume, file]) => mark(domain, volume.parse().ok()?, file),
        ("damage", [file]) => damage(domain, file),
        _ => None,
    }
}

fn domain_key(domain: DomainId, file: &str) -> Option<ParsedName> {
    let (epoch, key) = file.strip_suffix(".key")?.split_once('.')?;
    Some(ParsedName::DomainKey { domain, epoch: decimal(epoch)?, key: key.parse().ok()? })
}

fn session(domain: DomainId, file: &str) -> Option<ParsedName> {
    let (session, what) = file.split_once('.')?;
    let session = session.parse().ok()?;
    match what.split_once('.') {
        None if what == "open" => Some(ParsedName::SessionOpen { domain, session }),
        Some(("beat", number)) => Some(ParsedName::SessionBeat { domain, session, number: decimal(number)? }),
        _ => None,
    }
}

fn pack(domain: DomainId, shard: &str, session: &str, sequence: &str) -> Option<ParsedName> {
    let id: SessionId = session.parse().ok()?;
    if !session.ends_with(shard) || shard.len() != 2 {
        return None;
    }
    Some(ParsedName::Pack { domain, session: id, sequence: pack_sequence(sequence)? })
}

fn mark(domain: DomainId, volume: VolumeId, file: &str) -> Option<ParsedName> {
    let parts: Vec<&str> = file.splitn(5, '.').collect();
    let [session, mark, run, signature] = parts.as_slice() else { return None };
    Some(ParsedName::Mark {
        domain,
        volume,
        session: session.parse().ok()?,
        mark: Mark::ALL.into_iter().find(|known| known.to_string() == *mark)?,
        run: MarkRun(hex(run)?),
        signature: Signature(hex(signature)?),
    })
}

fn damage(domain: DomainId, file: &str) -> Option<ParsedName> {
    let parts: Vec<&str> = file.splitn(5, '.').collect();
    let [session, sequence, run, signature] = parts.as_slice() else { return None };
    Some(ParsedName::Damage {
        domain,
        session: session.parse().ok()?,
        sequence: pack_sequence(sequence)?,
        run: MarkRun(hex(run)?),
        signature: Signature(hex(signature)?),
    })
}

/// A decimal number in its shortest form.
fn decimal(text: &str) -> Option<u64> {
    let shortest = text == "0" || !text.starts_with('0');
    (shortest && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Exactly 8 lowercase hexadecimal digits.
fn pack_sequence(text: &str) -> Option<u32> {
    hex::<4>(text).map(u32::from_be_bytes)
}

/// Exactly `N` bytes in lowercase hexadecimal.
pub(crate) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
