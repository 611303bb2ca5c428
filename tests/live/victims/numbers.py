"""A server of fifty threads, each blocked in a different way while nobody asks.

`number N` is answered by `2 N`, which for each third number a thread of its own works out,
`file NAME` by its size and content, or `errno N`, `child N` by the status a child ends with.
"""

import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
listener.setblocking(False)
jobs: queue.Queue[socket.socket] = queue.Queue()


def apart(number: int) -> int:
    found: list[int] = []
    worker = threading.Thread(target=lambda: found.append(2 * number))
    worker.start()
    worker.join()
    return found[0]


def serve(connection: socket.socket) -> None:
    file = connection.makefile("rwb")
    for line in file:
        word, _, rest = line.decode().strip().partition(" ")
        if word == "number":
            answer = b"%d\n" % (apart(int(rest)) if int(rest) % 3 == 0 else 2 * int(rest))
        elif word == "child":
            answer = b"%d\n" % subprocess.run(["sh", "-c", f"exit {rest}"]).returncode
        else:
            try:
                descriptor = os.open(rest, os.O_RDONLY)
            except OSError as error:
                answer = b"errno %d\n" % (error.errno or 0)
            else:
                data = b""
                while more := os.read(descriptor, 5000):
                    data += more
                os.close(descriptor)
                answer = b"%d\n" % len(data) + data
        file.write(answer)
        file.flush()
    connection.close()


def accepting() -> None:
    while True:
        select.select([listener], [], [])
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        connection.setblocking(True)
        jobs.put(connection)


def serving() -> None:
    while True:
        serve(jobs.get())


def sleeping() -> None:
    while True:
        time.sleep(0.02)


def polling() -> None:
    poll = select.epoll()
    while True:
        poll.poll(0.02)


def locking() -> None:
    lock = threading.Lock()
    lock.acquire()
    while True:
        lock.acquire(timeout=0.02)


work = [accepting] * 3 + [serving] * 31 + [sleeping] * 5 + [polling] * 5 + [locking] * 5
threads = [threading.Thread(target=one) for one in work]
for one in threads:
    one.start()
print("ready", flush=True)
