//! Reading a block device past the page cache.
//!
//! In: an `O_PATH` descriptor of a block device. Out: its bytes, always without trust in any stamp: a device has none.
//! Never: fills the page cache, or reads beyond the size the device had when it was opened.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use repository::source::{Attributes, Content, ReadVerdict, SourceError};

use super::{Reading, read_full};
use crate::error::source_error;
use crate::sys::device;

/// `O_DIRECT` wants memory, offset and length at multiples of the logical block; no device has one above a page.
const ALIGNMENT: usize = 4096;
/// One transfer, in bytes.
const TRANSFER_BYTES: usize = 1 << 20;

/// An open block device.
#[derive(Debug)]
pub(crate) struct DeviceContent {
    file: File,
    size: u64,
    text: String,
    /// Unaligned memory that holds an aligned transfer.
    bounce: Vec<u8>,
}

/// Opens a device that is known to be one.
pub(crate) fn open(fd: impl AsFd, reading: &Reading, text: &str) -> Result<DeviceContent, SourceError> {
    let opened = reading.descriptors.reopen(fd, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_DIRECT);
    let opened = opened.map_err(|errno| source_error(text.to_owned(), errno))?;
    let size = device::size(&opened).map_err(|errno| source_error(text.to_owned(), errno))?;
    Ok(DeviceContent { file: File::from(opened), size, text: text.to_owned(), bounce: Vec::new() })
}

impl DeviceContent {
    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn error(&self, errno: Errno) -> SourceError {
        source_error(self.text.clone(), errno)
    }

    /// Reads one transfer into the bounce buffer and copies what was asked for.
    fn read_bounced(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        if self.bounce.is_empty() {
            self.bounce.resize(TRANSFER_BYTES + ALIGNMENT, 0);
        }
        let shift = self.bounce.as_ptr().align_offset(ALIGNMENT);
        let skip = (offset % ALIGNMENT as u64) as usize;
        let wanted = (skip + buffer.len()).next_multiple_of(ALIGNMENT).min(TRANSFER_BYTES);
        let aligned = self.bounce.get_mut(shift..shift + wanted).ok_or(Errno::EINVAL)?;
        let got = read_full(&self.file, offset - skip as u64, aligned)?;
        let useful = got.saturating_sub(skip).min(buffer.len());
        buffer[..useful].copy_from_slice(&aligned[skip..skip + useful]);
        Ok(useful)
    }
}

impl Content for DeviceContent {
    /// Those of a device node belong to the node, not to what is on the device.
    fn attributes(&mut self) -> Result<Attributes, SourceError> {
        Ok(Attributes::default())
    }

    fn next_data(&mut self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        Ok((offset < self.size).then_some(offset..self.size))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        let is_aligned = offset.is_multiple_of(ALIGNMENT as u64)
            && wanted.is_multiple_of(ALIGNMENT)
            && buffer.as_ptr().align_offset(ALIGNMENT) == 0;
        if is_aligned {
            return read_full(&self.file, offset, buffer).map_err(|errno| self.error(errno));
        }
        let mut filled = 0;
        while filled < wanted {
            let got = self.read_bounced(offset + filled as u64, &mut buffer[filled..]);
            match got.map_err(|errno| self.error(errno))? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn finish(&mut self) -> Result<ReadVerdict, SourceError> {
        let size = device::size(&self.file).map_err(|errno| self.error(errno))?;
        Ok(if size == self.size { ReadVerdict::Unsettled } else { ReadVerdict::Torn })
    }
}
