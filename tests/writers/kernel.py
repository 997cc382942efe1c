"""Kernel: what Linux offers to writers and Python does not.

In: descriptors, offsets, bytes. Out: mappings that hold no descriptor, asynchronous I/O, a ring, a loop device. Never: an error that is not an OSError.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import threading
import time

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
libc.pwrite.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

AT_FDCWD, RENAME_EXCHANGE = -100, 2
FALLOCATE = {"reserve": 0, "keep": 1, "punch": 3, "collapse": 8, "zero": 16, "insert": 32}
MS_ASYNC, MS_SYNC = 1, 4


def checked(result):
    """The result of a call of libc."""
    if result is None or result in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "failed")
    return result


def syscall(number, *arguments):
    return checked(libc.syscall(ctypes.c_long(number), *arguments))


def fallocate(fd, mode, offset, length):
    checked(libc.fallocate(fd, FALLOCATE[mode], offset, length))


def exchange(one, other):
    checked(libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE))


class Mapping:
    """A file, mapped shared and writable; the descriptor that it was made from may be closed."""

    def __init__(self, fd, length):
        self.length = length
        self.at = checked(libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0))
        # A descriptor that is neither a reader nor a writer, to ask how long the file is: a store beyond its end would be the end of this process.
        self.look = os.open(f"/proc/self/fd/{fd}", os.O_PATH)

    def pages(self):
        """So many can be stored to."""
        return min(-(-os.fstat(self.look).st_size // PAGE), self.length // PAGE)

    def store(self, offset, data):
        if offset + len(data) > self.pages() * PAGE:
            raise OSError(errno.EFAULT, "beyond the end")
        ctypes.memmove(self.at + offset, data, len(data))

    def sync(self, how):
        checked(libc.msync(self.at, self.length, how))

    def close(self):
        checked(libc.munmap(self.at, self.length))
        os.close(self.look)


class Buffer:
    """Memory that direct I/O takes."""

    def __init__(self, length):
        self.memory = mmap.mmap(-1, length)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def fill(self, data):
        self.memory[: len(data)] = data


class Aio:
    """A context of libaio."""

    SETUP, GETEVENTS, SUBMIT = 206, 208, 209

    def __init__(self, buffer_bytes):
        self.context = ctypes.c_ulong(0)
        self.buffer, self.number = Buffer(buffer_bytes), 0
        syscall(self.SETUP, ctypes.c_long(8), ctypes.byref(self.context))

    def write(self, fd, data, offset):
        self.buffer.fill(data)
        self.number += 1
        block = struct.pack("<QIIHhIQQqQII", self.number, 0, 0, 1, 0, fd, self.buffer.at, len(data), offset, 0, 0, 0)
        block = ctypes.create_string_buffer(block)
        pointer = ctypes.c_void_p(ctypes.addressof(block))
        syscall(self.SUBMIT, self.context, ctypes.c_long(1), ctypes.byref(pointer))
        event = ctypes.create_string_buffer(32)
        while True:
            try:
                syscall(self.GETEVENTS, self.context, ctypes.c_long(1), ctypes.c_long(1), event, None)
                break
            except InterruptedError:
                # A ring of the same process has something to say. The write goes on, so it must be waited for.
                pass
        number, _, result, _ = struct.unpack("<QQqq", event.raw)
        assert number == self.number, (number, self.number)
        complete(result)


class Ring:
    """A ring of io_uring with registered files: these stay open when their descriptors are closed."""

    SETUP, ENTER, REGISTER = 425, 426, 427
    FILES = 4

    def __init__(self, buffer_bytes):
        self.buffer = Buffer(buffer_bytes)
        parameters = ctypes.create_string_buffer(120)
        self.fd = syscall(self.SETUP, ctypes.c_uint(4), parameters)
        words = struct.unpack("<30I", parameters.raw)
        entries, completions, (submission, completion) = words[0], words[1], (words[10:20], words[20:30])
        self.tail, self.array = submission[1], submission[6]
        self.head, self.done, self.done_mask, self.events = completion[0], completion[1], completion[2], completion[5]
        share = {"flags": mmap.MAP_SHARED, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
        self.submissions = mmap.mmap(self.fd, self.array + entries * 4, offset=0, **share)
        self.completions = mmap.mmap(self.fd, self.events + completions * 16, offset=0x8000000, **share)
        self.requests = mmap.mmap(self.fd, entries * 64, offset=0x10000000, **share)
        self.entries = entries
        files = (ctypes.c_int * self.FILES)(*[-1] * self.FILES)
        syscall(self.REGISTER, ctypes.c_uint(self.fd), ctypes.c_uint(2), files, ctypes.c_uint(self.FILES))

    def register(self, slot, fd):
        """Takes a file into a slot instead of the one there; -1: none."""
        fds = (ctypes.c_int * 1)(fd)
        update = ctypes.create_string_buffer(struct.pack("<IIQ", slot, 0, ctypes.addressof(fds)))
        syscall(self.REGISTER, ctypes.c_uint(self.fd), ctypes.c_uint(6), update, ctypes.c_uint(1))

    @staticmethod
    def word(of, at):
        return struct.unpack_from("<I", of, at)[0]

    def enter(self, submit):
        """Submits, and waits for a completion, if nothing else comes first. How many are left to submit."""
        wait, get_events = 1, 1
        arguments = map(ctypes.c_uint, (self.fd, submit, wait, get_events))
        try:
            return submit - syscall(self.ENTER, *arguments, None, ctypes.c_size_t(0))
        except InterruptedError:
            return submit

    def write(self, slot, data, offset):
        self.buffer.fill(data)
        number = self.word(self.submissions, self.tail)
        at = number % self.entries
        fixed_file, opcode = 1, 23
        request = struct.pack("<BBHiQQIIQ", opcode, fixed_file, 0, slot, offset, self.buffer.at, len(data), 0, 0)
        self.requests[at * 64 : at * 64 + 64] = request.ljust(64, b"\0")
        struct.pack_into("<I", self.submissions, self.array + at * 4, at)
        struct.pack_into("<I", self.submissions, self.tail, (number + 1) % 2**32)
        submit = 1
        while self.word(self.completions, self.head) == self.word(self.completions, self.done):
            submit = self.enter(submit)
        head = self.word(self.completions, self.head)
        mask = self.word(self.completions, self.done_mask)
        result = struct.unpack_from("<Qi", self.completions, self.events + (head & mask) * 16)[1]
        struct.pack_into("<I", self.completions, self.head, (head + 1) % 2**32)
        complete(result)


class SlowBuffer:
    """Memory whose content comes late: a write from it has begun, and set its stamp, long before it reads the first byte (by userfaultfd)."""

    USERFAULTFD, API, REGISTER, COPY, DONTNEED = 323, 0xC018AA3F, 0xC020AA00, 0xC028AA03, 4

    def __init__(self, length, delay):
        self.length, self.delay, self.content = length, delay, Buffer(length)
        self.memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.fd = syscall(self.USERFAULTFD, ctypes.c_int(os.O_CLOEXEC))
        fcntl.ioctl(self.fd, self.API, struct.pack("<QQQ", 0xAA, 0, 0))
        on_missing = 1
        fcntl.ioctl(self.fd, self.REGISTER, struct.pack("<QQQQ", self.at, length, on_missing, 0))
        threading.Thread(target=self.supply, daemon=True).start()

    def supply(self):
        """Ends with the process: a thread that waits for a fault cannot be told anything."""
        while True:
            os.read(self.fd, 32)
            time.sleep(self.delay())
            fcntl.ioctl(self.fd, self.COPY, struct.pack("<QQQQq", self.at, self.content.at, self.length, 0, 0))

    def write(self, fd, data, offset):
        self.content.fill(data)
        checked(libc.madvise(self.at, self.length, self.DONTNEED))
        checked(libc.pwrite(fd, self.at, self.length, offset))


class Loop:
    """A loop device on a file, gone with its last descriptor."""

    def __init__(self, fd):
        control = os.open("/dev/loop-control", os.O_RDWR)
        try:
            for _ in range(8):
                number = fcntl.ioctl(control, 0x4C82)
                self.fd = os.open(f"/dev/loop{number}", os.O_RDWR)
                auto_clear = 4
                information = bytearray(232)
                struct.pack_into("<I", information, 52, auto_clear)
                configuration = struct.pack("<II", fd, 512) + bytes(information) + bytes(64)
                try:
                    fcntl.ioctl(self.fd, 0x4C0A, configuration)
                    return
                except OSError as error:
                    os.close(self.fd)
                    if error.errno != errno.EBUSY:
                        raise
            raise OSError(errno.EBUSY, "no loop device")
        finally:
            os.close(control)

    def write(self, data, offset):
        os.pwrite(self.fd, data, offset)
        # What it writes later would be a change that nobody ordered.
        os.fsync(self.fd)

    def close(self):
        os.close(self.fd)


def complete(result):
    """What an asynchronous write came to; a short one is one as well."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
