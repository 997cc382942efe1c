"""Driver: changes a volume by order; the other half is tests/tests/volumes/random.

In: orders, one a line: an operation, or what to tell of a folder. Out: an answer each: lines, and last `done`, or `not` and why it could not be done. Never: a change
without an order, but for live writers, which write whenever they are not paused.
"""

import ctypes
import errno
import os
import signal
import sys
import traceback

from census import census
from live import Live, words
from operations import Operations


class Driver:
    def __init__(self):
        self.operations, self.live = Operations(), []

    def order(self, order, *arguments):
        match order:
            case "begin":
                self.operations.begin(*arguments)
            case "end":
                for live in self.live:
                    live.close()
                self.live = []
                self.operations.end()
            case "live":
                kind, path, seed = arguments
                live = Live(kind, path, int(seed))
                live.pause()
                self.live.append(live)
            case "pause":
                for live in self.live:
                    live.pause()
            case "resume":
                for live in self.live:
                    live.resume()
            case "census":
                return census(*arguments)
            case "words":
                return words(*arguments)
            case _:
                self.operations.do(order, *arguments)
        return []


def main():
    # Whoever gives the orders may be killed while one of them hangs: nothing of it may be left. PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.umask(0o022)
    # Orders must not wait for live writers.
    sys.setswitchinterval(0.0001)
    driver = Driver()
    for line in sys.stdin:
        try:
            answer = [*driver.order(*line.split()), "done"]
        except OSError as error:
            answer = ["not " + errno.errorcode.get(error.errno, str(error))]
        except Exception:
            answer = ["failed " + traceback.format_exc().replace("\n", " | ")]
        print("\n".join(answer), flush=True)


main()
