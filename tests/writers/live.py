"""Live: writers that do not stop for a backup.

In: a kind and a path. Out: a file of pages, each of which holds a number that only grows. Never: writes while paused; but then, too, the file stays open or mapped,
and what is dirty stays dirty.
"""

import os
import random
import struct
import threading
import time

from kernel import PAGE, Aio, Mapping, Ring, SlowBuffer

PAGES = {"large": 1024}
PAGES_USUALLY = 16


def page_of(number):
    return struct.pack("<Q", number) * (PAGE // 8)


SLOW = []


def slow_buffer(dice):
    """One that nobody uses: they are never given back, because their threads cannot be ended."""
    return SLOW.pop() if SLOW else SlowBuffer(PAGES_USUALLY * PAGE, lambda: dice.choice((0.001, 0.004, 0.015)))


class Live:
    """One writer and its thread."""

    def __init__(self, kind, path, seed):
        self.kind, self.dice, self.number = kind, random.Random(seed), 0
        self.pages = PAGES.get(kind, PAGES_USUALLY)
        with open(path, "wb") as file:
            file.write(bytes(self.pages * PAGE))
        direct = os.O_DIRECT if kind in ("direct", "slowdirect") else 0
        self.fd = os.open(path, os.O_RDWR | direct)
        self.mapping, self.path = None, path
        if kind == "map":
            self.mapping = Mapping(self.fd, self.pages * PAGE)
            os.close(self.fd)
        elif kind in ("aio", "direct"):
            self.aio = Aio(PAGE)
        elif kind == "ring":
            self.ring = Ring(PAGE)
            self.ring.register(0, self.fd)
            os.close(self.fd)
        elif kind in ("slow", "slowdirect"):
            self.slow = slow_buffer(self.dice)
        elif kind == "visit":
            os.close(self.fd)
        # Held while a write goes on.
        self.turn = threading.Lock()
        self.is_over = False
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.is_over:
                with self.turn:
                    self.write()
                time.sleep(self.dice.choice((0.0001, 0.0005, 0.001, 0.003)))
        except BaseException as error:
            self.error = error

    def write(self):
        if self.is_over:
            return
        self.number += 1
        offset = self.dice.randrange(self.pages) * PAGE
        word, page = struct.pack("<Q", self.number), page_of(self.number)
        if self.kind == "map":
            self.mapping.store(offset, word)
        elif self.kind in ("aio", "direct"):
            self.aio.write(self.fd, page, offset)
        elif self.kind == "ring":
            self.ring.write(0, page, offset)
        elif self.kind == "large":
            os.pwrite(self.fd, page * self.pages, 0)
        elif self.kind in ("slow", "slowdirect"):
            self.slow.write(self.fd, page * self.pages, 0)
        elif self.kind == "visit":
            # Between two writes nobody has it open.
            with open(self.path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), word, offset)
        else:
            os.pwrite(self.fd, word, offset)

    def pause(self):
        self.turn.acquire()
        if self.error:
            raise self.error

    def resume(self):
        self.turn.release()

    def close(self):
        """Ends it; it must be paused."""
        self.is_over = True
        self.resume()
        self.thread.join()
        if self.mapping:
            self.mapping.close()
        elif self.kind == "ring":
            self.ring.register(0, -1)
            os.close(self.ring.fd)
        elif self.kind != "visit":
            os.close(self.fd)
        if self.kind in ("slow", "slowdirect"):
            SLOW.append(self.slow)


def words(folder):
    """The number of each page of each file in a folder: a line a file."""
    lines = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb", buffering=0) as file:
            data = file.read()
        numbers = [struct.unpack_from("<Q", data, at)[0] for at in range(0, len(data) - 7, PAGE)]
        lines.append(" ".join([name, *map(str, numbers)]))
    return lines
