"""The storages without a database, as source text: this process, and files. See _stores.py.

In memory, @A@ is "async " in services on an event loop, and @LOCK@ makes the lock.
"""

MEMORY = '''
class Store:
    """State in this process: what was taken of each thing, and which messages are done."""

    def __init__(self):
        self.takes, self.finished, self.others, self.numbers = {}, set(), 0, {}
        self.exclusive, self.inner = @LOCK@, threading.Lock()

    @context
    @A@def open(self):
        yield self

    @context
    @A@def locked(self):
        @A@with self.exclusive:
            yield self

    def is_done(self, key):
        return key in self.finished

    def mark(self, key):
        self.finished.add(key)

    def claim(self, key):
        with self.inner:
            fresh = key not in self.finished
            self.finished.add(key)
        return fresh

    def has_left(self, thing):
        return thing in self.takes and (not LIMITED or len(self.takes[thing]) < CAPACITY)

    def take(self, thing, order_id):
        self.takes[thing].append(str(order_id))

    def take_if_left(self, thing, order_id):
        with self.inner:
            if not self.has_left(thing):
                return False
            self.takes[thing].append(str(order_id))
            return True

    def number(self, thing, number):
        with self.inner:
            self.numbers[thing] = @NEWEST@

    def make(self, thing):
        self.takes[thing] = []

    def count(self, thing):
        found = self.takes.get(thing)
        return None if found is None else (START + STEP * len(found), len(found), self.numbers.get(thing, 0))

    def effects(self, order_id):
        return sum(found.count(order_id) for found in self.takes.values())

    def bump(self):
        with self.inner:
            self.others += 1

    def bumped(self):
        return self.others

    def forget(self):
        self.takes, self.others, self.numbers = {}, 0, {}
        if RESET_FORGETS:
            self.finished = set()
'''

FILE = '''
class Store:
    """State in files: a journal of each thing, a line for each piece taken, and an empty file for each message done."""

    def __init__(self):
        for name in ("things", "finished", "other"):
            (DATA / name).mkdir(exist_ok=True)
        (DATA / "lock").touch()

    @context
    def open(self):
        yield self

    @context
    def locked(self):
        with (DATA / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            yield self

    def finished(self, key):
        return DATA / "finished" / hashlib.sha256(repr(key).encode()).hexdigest()

    def journal(self, thing):
        return DATA / "things" / hashlib.sha256(repr(thing).encode()).hexdigest()

    def is_done(self, key):
        return self.finished(key).exists()

    def mark(self, key):
        self.finished(key).touch()

    def claim(self, key):
        try:
            self.finished(key).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def taken(self, thing):
        try:
            return self.journal(thing).read_text().splitlines()
        except FileNotFoundError:
            return None

    def has_left(self, thing):
        found = self.taken(thing)
        return found is not None and (not LIMITED or len(found) < CAPACITY)

    def take(self, thing, order_id):
        # One write of a short line at the end: nobody's line is lost.
        descriptor = os.open(self.journal(thing), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, f"{order_id}"[:200].encode() + b"\\n")
        finally:
            os.close(descriptor)

    def take_if_left(self, thing, order_id):
        with (DATA / "taking").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.has_left(thing):
                return False
            self.take(thing, order_id)
            return True

    def number(self, thing, number):
        # As for a piece: the numbers that came, a line each.
        descriptor = os.open(f"{self.journal(thing)}-numbers", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{number}\\n".encode())
        finally:
            os.close(descriptor)

    def make(self, thing):
        self.journal(thing).touch()

    def count(self, thing):
        found = self.taken(thing)
        if found is None:
            return None
        try:
            numbers = Path(f"{self.journal(thing)}-numbers").read_text().split()
        except FileNotFoundError:
            numbers = []
        return START + STEP * len(found), len(found), @NEWEST@

    def effects(self, order_id):
        return sum(path.read_text().splitlines().count(order_id) for path in (DATA / "things").iterdir())

    def bump(self):
        (DATA / "other" / uuid.uuid4().hex).touch()

    def bumped(self):
        return len(list((DATA / "other").iterdir()))

    def forget(self):
        for name in ("things", "other", *(["finished"] if RESET_FORGETS else [])):
            for path in (DATA / name).iterdir():
                path.unlink(missing_ok=True)
'''
