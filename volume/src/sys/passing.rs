//! Tests only: a descriptor handed to another process over a socket (`SCM_RIGHTS`), as a worker hands its group to the supervisor.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;

use super::checked;

/// Room for one descriptor and its head, aligned as `cmsghdr` must be.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// A message of one byte, with room for a descriptor. Both pointers must live as long as what is returned is used.
fn message(vector: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: a msghdr is numbers and pointers; all zeros is a value of it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: takes a number only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) } as _;
    message
}

/// Sends a descriptor.
pub(crate) fn send(socket: &UnixStream, fd: impl AsFd) -> Result<(), Errno> {
    let (mut byte, mut control) = (0_u8, Control([0; 32]));
    let mut vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let message = message(&mut vector, &mut control);
    // SAFETY: `message` has room for one head with a descriptor, which is what is written; everything it points to lives through the call.
    let sent = unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        libc::CMSG_DATA(head).cast::<libc::c_int>().write_unaligned(fd.as_fd().as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    checked(sent as libc::c_long).map(drop)
}

/// Receives a descriptor. `ENOMSG`: the other side sent none.
pub(crate) fn receive(socket: &UnixStream) -> Result<OwnedFd, Errno> {
    let (mut byte, mut control) = (0_u8, Control([0; 32]));
    let mut vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message = message(&mut vector, &mut control);
    // SAFETY: everything that `message` points to lives through the call.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if checked(got as libc::c_long)? == 0 {
        return Err(Errno::ENOMSG);
    }
    // SAFETY: the kernel has filled `message`; a head of this type holds a descriptor that it has just made for us.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null() || (*head).cmsg_type != libc::SCM_RIGHTS {
            return Err(Errno::ENOMSG);
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(head).cast::<libc::c_int>().read_unaligned()))
    }
}
