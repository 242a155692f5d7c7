"""The power goes while plantcert works, at each point of each command: power.py MODE STORE STEP SHARD SHARDS [SCENARIO…]
  files     the program is killed before every system call that changes a file or sends something
  tpm       at every TPM command: the program is killed; the TPM, too, without TPM2_Shutdown; the TPM alone, while it is at it
  disk      the folder is on an ext4 of its own, whose image is copied before every system call, together with the TPM's state, and mounted
            again: what was not fsynced is lost
Afterwards the old set or the new one lets a client connect; the same command, run again, brings the job to its end; and then nothing is
left in the TPM, nor on the disk, but what an undisturbed run leaves. One point of STEP is tried, and of these one of SHARDS."""
import os
import shutil
import signal
import sys
import zlib

from power_plc import HANDLES, PERSISTENT, PLANT, PLANTCERT, SESSIONS, TRANSIENT, Plc, Station, Tap, must

MODE, STORE = sys.argv[1:3]
STEP, SHARD, SHARDS = (int(word) for word in sys.argv[3:6])
WORK, INTERCEPT = os.environ["WORK"], os.environ["INTERCEPT"]
# By how many calls two runs of one command may differ: connections to a socket TPM that is not ready yet.
SPARE = 4
IMAGE, SHOTS, SHOOT = f"{WORK}/image", f"{WORK}/shots", f"{WORK}/shoot"
SHOOTING = f"""#!/bin/sh
# Copies disk and TPM for a call number, unless they are as they were at the last one.
state=tpm/tpm2-00.permall
cd {WORK} && cmp -s image shots/last/image && cmp -s $state shots/last/$state && exit
mkdir shots/$1 && cp --sparse=always image shots/$1/image && cp -r tpm shots/$1/tpm && ln -sfn $1 shots/last
"""
# What the scenarios start from: NAME: (start before it, steps). A step is plantcert's arguments, or one of the words of `step`.
STARTS = {
    "empty": (None, []),
    "requested": ("empty", ["request -o out/a.csr", "SIGN out/a.csr in/a.crt"]),
    "installed": ("requested", ["install --ca in/ca.crt in/a.crt"]),
    "stick": ("requested", [f"SIGN out/a.csr out/{PLANT}.crt"]),
    "renewed": ("installed", ["SIGN out/a.csr in/b.crt"]),
    "rekeyed": ("installed", ["request -o out/b.csr", "SIGN out/b.csr in/b.crt"]),
    "switched": ("rekeyed", ["install in/b.crt"]),
    "deferred": ("rekeyed", ["install --defer-reload in/b.crt"]),
    "switched, pending": ("switched", ["keygen"]),
    "rolled back": ("switched", ["rollback"]),
    "confirmed": ("switched", ["confirm"]),
    "legacy": ("empty", ["PLAIN", "request -o out/a.csr", "SIGN out/a.csr in/a.crt"]),
    "legacy, switched": ("legacy", ["install --ca in/ca.crt in/a.crt"]),
    "legacy, confirmed": ("legacy, switched", ["confirm"]),
    "lost": ("installed", ["LOSE"]),
    "cleared": ("installed", ["CLEAR"]),
}

# SCENARIO: (start, what is typed, what may be said when it is run again and all is done already).
SCENARIOS = {
    "keygen": ("empty", "keygen", ""),
    "request": ("empty", "request -o out/x.csr", ""),
    "first install": ("requested", "install --ca in/ca.crt in/a.crt", ""),
    "renew": ("installed", "renew -o out/x.csr", ""),
    "rekey": ("installed", "rekey -o out/x.csr", ""),
    "install, same key": ("renewed", "install in/b.crt", ""),
    "install, new key": ("rekeyed", "install in/b.crt", ""),
    "third key": ("switched", "keygen", ""),
    "confirm": ("switched", "confirm", ""),
    "rollback": ("switched", "rollback", ""),
    "install, forward again": ("rolled back", "install in/b.crt", ""),
    "forget": ("rekeyed", "forget", "key-in-use"),
    "forget --force": ("switched, pending", "forget --force", ""),
    "forget --force, legacy": ("legacy, switched", "forget --force", ""),
    "takeover": ("legacy", "install --ca in/ca.crt in/a.crt", ""),
    "confirm, legacy": ("legacy, switched", "confirm", ""),
    "rollback, legacy": ("legacy, switched", "rollback", ""),
    "forget --legacy": ("legacy, confirmed", "forget --legacy", ""),
    "reload": ("deferred", "reload", ""),
    "check": ("deferred", "check", ""),
    "adopt": ("lost", "keygen --adopt 0x81020000 in/a.crt", ""),
    "request, cleared TPM": ("cleared", "request -o out/x.csr", ""),
    "enroll": ("requested", f"enroll --url {Station.url} --trust in/ca.crt", ""),
    "enroll, renewal": ("installed", f"renew --url {Station.url}", ""),
    "enroll, by a stick": ("stick", "enroll --usb out --ca in/ca.crt", ""),
}

# The TPM has lost the key of the set that stands.
KEYLESS = ("request, cleared TPM",)

# A wrapped key is lost with its file.
HANDLE_ONLY = ("adopt",)

tap = Tap()
reference = {}


def step(plc, words):
    """One step of a start."""
    first, *rest = words.split()
    if first == "SIGN":
        # The first one is older: the second raises the floor of the clock.
        plc.sign(f"{plc.run}/{rest[0]}", f"{plc.run}/{rest[1]}", 1 if rest[1] == "in/a.crt" else 0)
    elif first == "PLAIN":
        plc.plain_files()
    elif first == "LOSE":
        shutil.rmtree(plc.voke)
    elif first == "CLEAR":
        must("tpm2_clear", "-T", plc.tpm.tcti, "-c", "p")
    else:
        done = plc.plantcert(words.split())
        if done.returncode != 0:
            raise RuntimeError(f"plantcert {words}: exit {done.returncode}: {done.stderr}")


def start(plc, name):
    """Puts the PLC at a start, which is made when it is first needed."""
    if os.path.isdir(f"{WORK}/starts/{name}"):
        plc.put_back(name)
        return
    before, steps = STARTS[name]
    if before:
        start(plc, before)
    else:
        plc.tpm.start()
    for words in steps:
        step(plc, words)
    plc.keep(name)
    plc.tpm.start()


class Outcome:
    """What there is when a command has come to its end."""

    def __init__(self, plc):
        persistent = plc.tpm.handles(PERSISTENT)
        self.own = sum(handle in HANDLES for handle in persistent)
        self.foreign = [handle for handle in persistent if handle not in HANDLES]
        self.loaded = plc.tpm.handles(TRANSIENT) + plc.tpm.handles(SESSIONS)
        self.files, self.temporary = plc.files()
        self.set = plc.standing()
        self.state = plc.state()
        self.told = os.path.exists(f"{plc.run}/told")
        self.out = sorted(name for name in os.listdir(f"{plc.run}/out") if os.path.getsize(f"{plc.run}/out/{name}"))

    def differences(self, wanted):
        for name, value in vars(wanted).items():
            if name == "files":
                yield from (f"not as undisturbed: {line!r}" for line in sorted(self.files ^ value))
            elif getattr(self, name) != value:
                yield f"{name}: {getattr(self, name)!r}, not {value!r}"
        if self.loaded:
            yield f"left in the TPM: {[hex(handle) for handle in self.loaded]}"
        if self.temporary:
            yield f"temporary files: {self.temporary}"


def whether(plc, key, when=""):
    complaint = plc.connect(key)
    if complaint:
        yield when + complaint


def judge(plc, name, whole=False):
    """After a cut of scenario `name`, with the power back. `whole`: the command had said that it was done."""
    before, wanted = reference[name]
    _, typed, already = SCENARIOS[name]
    if whole:
        yield from Outcome(plc).differences(wanted)
    found = plc.standing()
    if found not in (before, wanted.set) and not (found == "partial" and not wanted.set):
        yield f"the set that stands is {found}, which is neither {before} nor {wanted.set}"
    elif isinstance(found, tuple) and name not in KEYLESS:
        yield from whether(plc, found[0])
    again = plc.plantcert([*typed.split(), "--json"])
    if again.returncode != 0 and not (already and f'"{already}"' in again.stdout):
        yield f"again: exit {again.returncode}: {again.stderr.strip()}"
    outcome = Outcome(plc)
    yield from outcome.differences(wanted)
    if isinstance(outcome.set, tuple) and outcome.set != found and name not in KEYLESS:
        yield from whether(plc, outcome.set[0], "afterwards: ")


def judged(plc, name, whole=False):
    """The same, for whatever there is: bytes that nobody expects may end a judgement, too."""
    try:
        return [*judge(plc, name, whole)]
    except (OSError, ValueError, RuntimeError) as fault:
        return [repr(fault)]


def run(plc, name, act="", at=0):
    """Runs the command of a scenario; `act` is what ends it at point `at`."""
    typed = SCENARIOS[name][1].split()
    if MODE == "tpm":
        return plc.plantcert(typed, rules=f",{act}=0@{at}={plc.tpm.process.pid}" if act else "")
    if MODE == "files" or act:
        return plc.plantcert(typed, prefix=(INTERCEPT, act or "none", str(at), "changes", f"{WORK}/calls"))
    return plc.plantcert(typed)


def points(plc):
    """What the last run met."""
    if MODE == "tpm":
        return plc.commands()
    with open(f"{WORK}/calls", encoding="utf-8") as log:
        return log.read().splitlines()


def undisturbed(plc, name):
    """Runs the command as a whole, and keeps how it ends."""
    start(plc, SCENARIOS[name][0])
    before = plc.standing()
    done = run(plc, name)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: exit {done.returncode}: {done.stderr}")
    met = points(plc) if MODE != "disk" else []
    wanted = Outcome(plc)
    reference[name] = before, wanted
    return met, [*wanted.differences(wanted)]


def mine(name, at):
    """Whether this point is tried, and by this shard. Each scenario begins somewhere else."""
    at += zlib.crc32(name.encode())
    return at % STEP == 0 and at // STEP % SHARDS == SHARD


# --- the modes: each yields (what is cut, complaints) for each of its points, None for complaints that were not tried ---


def cut_files(plc, name, calls):
    for at, call in enumerate(calls, 1):
        if not mine(name, at):
            yield None
            continue
        start(plc, SCENARIOS[name][0])
        done = run(plc, name, "kill", at)
        # A socket TPM is sometimes connected to once more, or less, than in the undisturbed run: then there was no such call.
        whole = done.returncode == 0 and len(calls) - SPARE <= len(points(plc)) < at
        complaints = [f"exit {done.returncode}: {done.stderr}"] if not whole and done.returncode != 128 + signal.SIGKILL else []
        yield f"before call {at}, {call}", complaints + judged(plc, name, whole)


# What ends at a command: by the recorder's rule of this name.
ACTS = {"kill": "the program", "cut": "program and TPM", "reset": "the TPM"}


def cut_tpm(plc, name, commands):
    for act, what in ACTS.items():
        for at, code in enumerate(commands, 1):
            if not mine(name + act, at):
                yield None
                continue
            start(plc, SCENARIOS[name][0])
            done = run(plc, name, act, at)
            expected = (0, 4) if act == "reset" else (-signal.SIGKILL,)
            complaints = [] if done.returncode in expected else [f"exit {done.returncode}: {done.stderr}"]
            if act != "kill":
                plc.tpm.kill()
                plc.tpm.start()
            yield f"{what} at command {at}, {code}", complaints + judged(plc, name)


def mount(image, where):
    # Nothing is written behind the program's back, and no rename makes up for a missing fsync.
    must("mount", "-o", "loop,commit=300,noauto_da_alloc", image, where)


def unmount(where):
    must("umount", where)


def make_disk(plc, begin):
    """Moves `run` to a file system of its own."""
    with open(IMAGE, "wb") as image:
        image.truncate(3 << 20)
    must("mkfs.ext4", "-q", "-F", "-b", "1024", "-J", "size=1", "-O", "^resize_inode", "-N", "256", IMAGE)
    shutil.rmtree(plc.run)
    os.mkdir(plc.run)
    mount(IMAGE, plc.run)
    must("cp", "-a", f"{WORK}/starts/{begin}/run/.", plc.run)
    unmount(plc.run)


def shoot(plc, name):
    """Runs the command on that disk, and keeps disk and TPM as they were before each call. Gives the calls before which either had changed:
    most calls change neither."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    os.mkdir(SHOTS)
    mount(IMAGE, plc.run)
    done = run(plc, name, "show", "1+")
    must(SHOOT, "end")
    unmount(plc.run)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: exit {done.returncode}: {done.stderr}")
    states = [(str(at), call) for at, call in enumerate(points(plc), 1) if os.path.isdir(f"{SHOTS}/{at}")]
    return [*states, (os.readlink(f"{SHOTS}/last"), "the end")]


def cut_disk(plc, name, _):
    start(plc, SCENARIOS[name][0])
    make_disk(plc, SCENARIOS[name][0])
    for number, (at, call) in enumerate(shoot(plc, name)):
        # What a command has done when it says so must be there, whatever else is tried.
        if call != "the end" and not mine(name, number):
            yield None
            continue
        plc.put_back_tpm(f"{SHOTS}/{at}/tpm")
        shutil.copyfile(f"{SHOTS}/{at}/image", IMAGE)
        mount(IMAGE, plc.run)
        complaints = judged(plc, name, call == "the end")
        unmount(plc.run)
        yield f"before call {at}, {call}", complaints
    shutil.rmtree(SHOTS)


MODES = {"files": cut_files, "tpm": cut_tpm, "disk": cut_disk}


def sweep(plc, name):
    met, complaints = undisturbed(plc, name)
    tried, known = 0, 0
    for point in MODES[MODE](plc, name, met):
        known += 1
        if point is None:
            continue
        tried += 1
        complaints += [f"{point[0]}: {complaint}" for complaint in point[1]]
    tap.say(not complaints, f"{name} ({STORE}): finished after {tried} of {known} cuts, {MODE}", complaints)
    return tried


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with open(SHOOT, "w", encoding="ascii") as script:
        script.write(SHOOTING)
    os.chmod(SHOOT, 0o755)
    # Telling clients writes on the disk, and so would hide what was not written before.
    plc = Plc(WORK, STORE, int(os.environ["PORT"]), MODE != "disk")
    plc.environment["INTERCEPT_SHOW"] = SHOOT
    Station(plc)
    names = sys.argv[6:] or [name for name in SCENARIOS if STORE == "handle" or name not in HANDLE_ONLY]
    tried = sum(sweep(plc, name) for name in names)
    print(f"# {tried} cut points")
    return tap.finish()


sys.exit(main())
