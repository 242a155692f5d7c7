"""A PLC led through its commands in no particular order, each of which may be killed at some system call or TPM command, or lose its power:
walk.py STORE SEED WALKS STEPS. A walk follows from its seed; what went before a fault is printed. After every command, killed or not:
  - the set that stands lets a client connect, or there is none at all, unless the walk itself took its key out of the TPM;
  - each persistent key of ours is named by a record, and the key there that is not ours stands;
  - device.key has all its bytes, but for `forget --legacy`.
A command that came to its end was done, refused or told to come again. After each walk, whatever state the PLC is in, request, install and
confirm end in one set, one key, and nothing left behind."""
import base64
import os
import random
import re
import signal
import sys

from power_plc import HANDLES, PERSISTENT, SESSIONS, TRANSIENT, Plc, Tap, must

STORE = sys.argv[1]
SEED, WALKS, STEPS = (int(word) for word in sys.argv[2:5])
WORK, INTERCEPT = os.environ["WORK"], os.environ["INTERCEPT"]
FOREIGN = HANDLES[1]
CALLS = "openat,write,fsync,rename,renameat,unlink,unlinkat,rmdir,mkdir,symlink,symlinkat,linkat,fchmod,fchown,sendto"
COMMANDS = (
    "keygen", "request -o out/0.csr", "request -o out/1.csr", "rekey -o out/1.csr", "rekey -o out/2.csr", "renew -o out/0.csr",
    "install CHAIN", "install --ca in/ca.crt CHAIN", "install --ca in/ca.crt CHAIN", "install --ca in/ca.crt --defer-reload CHAIN",
    "rollback", "rollback", "confirm", "check", "reload", "forget", "forget --force", "forget --legacy", "forget --legacy --force",
    "keygen --adopt HANDLE CHAIN",
)

tap = Tap()


def octets(path):
    with open(path, "rb") as file:
        return file.read()


class Walk:
    def __init__(self, plc, seed):
        self.plc, self.random = plc, random.Random(seed)
        self.history, self.complaints = [], []
        self.old = None  # the bytes of device.key, while it must be there
        self.lost = set()  # key files whose key the walk has taken
        self.torn = False  # a killed `forget --force` has left a part
        self.count = 0
        self.next = []  # where a request has led to: what is usual after it

    def complain(self, text):
        self.complaints.append(f"{text}; after {'; '.join(self.history[-12:])}")

    # --- what the walk does besides ---

    def sign(self, name=None):
        requests = sorted(os.listdir(f"{self.plc.run}/out"))
        if requests:
            self.count += 1
            name = name or self.random.choice(requests)
            self.plc.sign(f"{self.plc.run}/out/{name}", f"{self.plc.run}/in/{self.count:03}.crt", self.random.choice((0, 0, 1)))
            self.history.append(f"{name} signed as {self.count:03}")

    def key_files(self):
        """The key files of all records, by path."""
        found = {}
        for folder, _, names in os.walk(self.plc.voke):
            for name in names:
                path = f"{folder}/{name}"
                if name in ("device.tpm", "key.tpm") and not os.path.islink(path):
                    found[path] = octets(path)
        return found

    def ours(self):
        return [handle for handle in self.plc.tpm.handles(PERSISTENT) if handle in HANDLES and handle != FOREIGN]

    def take_key(self):
        """A key goes that was ours, as by somebody else's hand."""
        if self.ours():
            handle = self.random.choice(self.ours())
            must("tpm2_evictcontrol", "-Q", "-T", self.plc.tpm.tcti, "-C", "o", "-c", f"{handle:#x}")
            self.lost |= {pem for pem in self.key_files().values() if handle in named(pem)}
            self.history.append(f"{handle:#x} taken")

    def plain_files(self):
        """Where nothing is: the PLC of before."""
        if not self.old and self.plc.standing() is None:
            self.plc.plain_files()
            self.old = octets(f"{self.plc.voke}/device.key")
            self.history.append("plain files")

    # --- a command ---

    def words(self):
        if self.next:
            return self.next.pop()
        chains = sorted(name for name in os.listdir(f"{self.plc.run}/in") if name != "ca.crt")
        words = self.random.choice([words for words in COMMANDS if chains or "CHAIN" not in words])
        words = words.replace("HANDLE", f"{self.random.choice(HANDLES[:4]):#x}")
        return words.replace("CHAIN", f"in/{self.random.choice(chains[-4:])}" if chains else "").split()

    def command(self):
        """Gives its exit code; None when it was killed."""
        words = self.words()
        end = self.random.choice(("", "", "call", "program", "power"))
        if end == "call":
            at = self.random.randrange(1, 90)
            done = self.plc.plantcert(words, (INTERCEPT, "kill", str(at), CALLS, f"{WORK}/calls"))
        elif end:
            at = self.random.randrange(1, 16)
            act = {"program": "kill", "power": "cut"}[end]
            done = self.plc.plantcert(words, rules=f",{act}=0@{at}={self.plc.tpm.process.pid}")
        else:
            at, done = 0, self.plc.plantcert(words)
        killed = done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        self.history.append(f"{' '.join(words)} ({f'{end} {at}' if killed else done.returncode})")
        if killed and end == "power":
            self.plc.tpm.kill()
            self.plc.tpm.start()
        if not killed and done.returncode not in (0, 5, 6):
            self.complain(f"exit {done.returncode}: {done.stderr.strip()}")
        if words[:2] == ["forget", "--legacy"]:
            self.old = None if killed or not os.path.exists(f"{self.plc.voke}/device.key") else self.old
        self.torn = self.torn or (killed and words == ["forget", "--force"])
        if done.returncode == 0 and "-o" in words and self.random.random() < 0.7:
            self.sign(os.path.basename(words[-1]))
            self.next = [["install", "--ca", "in/ca.crt", f"in/{self.count:03}.crt"]]

    # --- what must hold ---

    def judge(self):
        state = []
        for name in ("state",):
            path = f"{self.plc.voke}/pending/{name}"
            state += [octets(path)] if os.path.exists(path) else []
        known = {handle for pem in self.key_files().values() for handle in named(pem)}
        known |= {int(handle, 16) for text in state for handle in re.findall(rb"0x[0-9a-f]{8}", text)}
        persistent = self.plc.tpm.handles(PERSISTENT)
        for handle in self.ours():
            if handle not in known:
                self.complain(f"no record names the key at {handle:#x}")
        if FOREIGN not in persistent:
            self.complain("the key that is not ours is gone")
        if self.old and self.old != self.plc.octets("device.key"):
            self.complain("device.key is gone, or not what it was")
        self.judge_set()

    def judge_set(self):
        found = self.plc.standing()
        if isinstance(found, tuple):
            key = found[0]
            if key == "device.tpm" and self.plc.octets(key) in self.lost or key == "device.key" and not self.old:
                return
            fault = self.plc.connect(key)
            if fault and self.torn and self.old:
                fault = self.plc.connect("device.key")
            if fault:
                self.complain(f"the set that stands does not serve with {key}: {fault}")
        elif found == "partial" and not self.torn:
            self.complain("a part of a set stands")
        if found != "partial":
            self.torn = self.torn and isinstance(found, tuple)

    def go_home(self):
        """From wherever it is."""
        run = self.plc.plantcert
        dropped = run(["forget"])
        if dropped.returncode not in (0, 5):
            self.complain(f"home: forget: exit {dropped.returncode}: {dropped.stderr.strip()}")
        for words in ("check", "request -o out/home.csr", "SIGN", "install --ca in/ca.crt in/home.crt", "confirm", "check"):
            if words == "SIGN":
                self.plc.sign(f"{self.plc.run}/out/home.csr", f"{self.plc.run}/in/home.crt")
                continue
            done = run(words.split())
            self.history.append(f"{words} ({done.returncode})")
            if done.returncode != 0 and words != "check" or done.returncode not in (0, 5, 6):
                self.complain(f"home: exit {done.returncode}: {done.stderr.strip()}")
                return
        self.lost = set()
        self.torn = False
        self.judge()
        loaded = [hex(handle) for handle in self.plc.tpm.handles(TRANSIENT) + self.plc.tpm.handles(SESSIONS)]
        _, temporary = self.plc.files()
        temporary = [path for path in temporary if "/out/" not in f"/{path}"]
        if loaded or temporary or len(self.ours()) != (STORE == "handle") or self.plc.state() != "confirmed":
            self.complain(f"home: {self.plc.state()}, loaded {loaded}, temporary {temporary}, keys {[hex(handle) for handle in self.ours()]}")

    def go(self):
        for _ in range(STEPS):
            what = self.random.random()
            if what < 0.2:
                self.sign()
            elif what < 0.23:
                self.take_key()
            elif what < 0.3:
                self.plain_files()
            else:
                self.command()
                self.judge()
            if self.complaints:
                return
        self.go_home()


def named(pem):
    """The handles that a key file holds."""
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-"))
    return [handle for handle in HANDLES if handle.to_bytes(4, "big") in base64.b64decode(body)]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plc = Plc(WORK, STORE, int(os.environ["PORT"]), True)
    plc.tpm.start()
    must("tpm2_createprimary", "-Q", "-T", plc.tpm.tcti, "-C", "o", "-G", "ecc", "-c", f"{WORK}/foreign")
    must("tpm2_evictcontrol", "-Q", "-T", plc.tpm.tcti, "-C", "o", "-c", f"{WORK}/foreign", f"{FOREIGN:#x}")
    must("tpm2_flushcontext", "-T", plc.tpm.tcti, "-t")
    plc.keep("empty")
    for seed in range(SEED, SEED + WALKS):
        plc.put_back("empty")
        walk = Walk(plc, seed)
        walk.go()
        tap.say(not walk.complaints, f"walk {seed} ({STORE}): {len(walk.history)} steps", walk.complaints)
        if walk.complaints and os.environ.get("PC_KEEP"):
            break
    return tap.finish()


sys.exit(main())
