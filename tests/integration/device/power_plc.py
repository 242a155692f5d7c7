"""A PLC for the power-cut tests: its folder, a raw software TPM whose power can go, the real plantcert, and a TLS server that its clients
connect to. Everything that a cut may spoil lies in two folders, `run` and `tpm`, which can be put back as they were."""
import atexit
import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

PLANT = "a1b2c3d4-0000-4000-8000-000000000001"
BUILD = os.environ["PC_BUILD"]
PLANTCERT = os.environ["PLANTCERT"]
CLOCK = os.path.join(BUILD, "tests/cli/clock.so")
RECORDER = os.path.join(BUILD, "tests/integration/tpm/tcti_recorder.so")
HANDLES = range(0x81020000, 0x81020010)
# What TPM2_GetCapability lists by its first handle (Part 2 §7.2).
PERSISTENT, TRANSIENT, SESSIONS = 0x81000000, 0x80000000, 0x02000000
PT_PERMANENT, PT_LOCKOUT_COUNTER = 0x200, 0x20E
IN_LOCKOUT = 0x200
VISIBLE = ("ca.crt", "device.crt", "device.tpm")

libc = ctypes.CDLL(None)


def die_with_parent():
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Tap:
    """What the tests say."""

    def __init__(self):
        self.count = self.failed = 0

    def say(self, good, text, complaints=()):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {text}")
        for complaint in [] if good else complaints[:8]:
            print("#   " + complaint.replace("\n", "\n#   "))
        sys.stdout.flush()

    def finish(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


class Tpm:
    """swtpm without resource manager, spoken to directly for what the tests ask."""

    def __init__(self, folder, port):
        self.folder, self.port, self.process = folder, port, None
        self.tcti = f"swtpm:host=127.0.0.1,port={port}"
        atexit.register(self.kill)

    def start(self):
        until = time.monotonic() + 20
        while not self.answers():
            if time.monotonic() > until:
                raise RuntimeError("swtpm does not start")
            time.sleep(0.002)

    def answers(self):
        """Starts it where it is not there: somebody else's connection may have the port for a moment."""
        if not self.process or self.process.poll() is not None:
            self.process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--flags", "not-need-init,startup-clear",
                 "--server", f"type=tcp,port={self.port}", "--ctrl", f"type=tcp,port={self.port + 1}"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
            )
        try:
            self.handles(TRANSIENT)
        except OSError:
            return False
        return True

    def kill(self):
        """The power goes: no TPM2_Shutdown."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def is_killed(self):
        """Whether somebody else did it; waits, for a signal takes its time."""
        try:
            return self.process.wait(2) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def ask(self, capability, first):
        """TPM2_GetCapability (Part 3 §30.2)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            wire.sendall(struct.pack(">HIIIII", 0x8001, 22, 0x17A, capability, first, 64))
            answer = b""
            while len(answer) < 10 or len(answer) < struct.unpack(">I", answer[2:6])[0]:
                more = wire.recv(4096)
                if not more:
                    raise OSError("the TPM closed the connection")
                answer += more
        if struct.unpack(">I", answer[6:10])[0] != 0:
            raise RuntimeError(f"GetCapability: {answer.hex()}")
        return answer[15:]

    def handles(self, first):
        body = self.ask(1, first)
        listed = struct.unpack(f">{struct.unpack('>I', body[:4])[0]}I", body[4:])
        return [handle for handle in listed if handle >> 24 == first >> 24]

    def lockout(self):
        """(inLockout, the counter of failures)."""
        body = self.ask(6, PT_PERMANENT)
        properties = dict(struct.iter_unpack(">II", body[4:]))
        return bool(properties[PT_PERMANENT] & IN_LOCKOUT), properties[PT_LOCKOUT_COUNTER]


class Server(threading.Thread):
    """Asks for a client's certificate, verifies it, and says its SHA-256."""

    def __init__(self, anchors, certificate, key):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(anchors)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            raw, _ = self.listener.accept()
            raw.settimeout(20)
            try:
                with self.context.wrap_socket(raw, server_side=True) as tls:
                    tls.sendall(b"met " + hashlib.sha256(tls.getpeercert(True)).hexdigest().encode() + b"\n")
                    tls.unwrap()
            except OSError:
                raw.close()


def shell(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, **options)


def days_ago(days):
    """The environment of a command that is to see such a clock."""
    return dict(os.environ, ASAN_OPTIONS="detect_leaks=0", PC_CLOCK_DAYS=str(-days), LD_PRELOAD=f"{os.environ.get('PC_PRELOAD', '')} {CLOCK}")


def must(*command, **options):
    done = shell(*command, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}{done.stdout}")
    return done


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Station:
    """tests/lib/est.py with the PLC's CA: for the same key it gives the same certificate again."""

    port = free_port()
    url = f"https://127.0.0.1:{port}"

    def __init__(self, plc):
        folder = f"{plc.work}/est"
        os.mkdir(folder)
        for name in ("CA.crt", "FOREIGN.crt", "cacerts.pem"):
            shutil.copyfile(f"{plc.run}/in/ca.crt", f"{folder}/{name}")
        shutil.copyfile(f"{plc.work}/ca.key", f"{folder}/CA.key")
        must("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{folder}/station.key",
             "-out", f"{folder}/station.csr", "-subj", "/CN=station")
        plc.sign(f"{folder}/station.csr", f"{folder}/station.crt", 0, "serverAuth", "IP:127.0.0.1")
        with open(f"{folder}/mode", "w", encoding="ascii") as mode:
            mode.write("ok")
        self.process = subprocess.Popen([f"{os.environ['PC_SOURCE']}/tests/lib/est.py", folder, str(self.port), "TLSv1_3"],
                                        stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        atexit.register(self.process.kill)
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("the station does not start")


class Plc:
    def __init__(self, work, store, port, reload):
        self.work, self.run, self.voke = work, f"{work}/run", f"{work}/run/voke"
        self.tpm = Tpm(f"{work}/tpm", port)
        self.log = f"{work}/commands"
        os.makedirs(f"{work}/run/in")
        os.makedirs(f"{work}/run/out")
        os.mkdir(self.tpm.folder)
        must("swtpm_setup", "--tpm2", "--tpmstate", self.tpm.folder, "--lock-nvram", "--overwrite")
        self.environment = dict(os.environ, PLANTCERT_CONFIG=f"{work}/plantcert.conf", ASAN_OPTIONS="detect_leaks=0", TSS2_LOG="all+NONE")
        self.client = dict(os.environ, OPENSSL_CONF=f"{work}/openssl.cnf", ASAN_OPTIONS="detect_leaks=0", TSS2_LOG="all+NONE")
        if os.environ.get("PC_PRELOAD"):
            self.client["LD_PRELOAD"] = os.environ["PC_PRELOAD"]
        with open(f"{work}/plantcert.conf", "w", encoding="ascii") as conf:
            conf.write(f"[device]\nplant = {PLANT}\ndir = {self.voke}\nkey = ec:P-256\nstore = {store}\n")
            conf.write(f"group = {must('id', '-gn').stdout.strip()}\n")
            if reload:
                conf.write(f"reload = echo told >>{self.run}/told\n")
            conf.write(f"[tpm]\ntcti = {self.tpm.tcti}\nallow-simulator = yes\n")
            # The certificates below live for 20 days: what has come to its end is not due again.
            conf.write("[renew]\nbefore = 5d\n")
        with open(f"{work}/openssl.cnf", "w", encoding="ascii") as conf:
            printed = must(PLANTCERT, "config", "--openssl", env=self.environment).stdout
            conf.write(re.sub(r"(?m)^module *=.*$", f"module = {os.environ['PLANTCERT_MODULE']}", printed))
        self.authority()
        self.server = Server(f"{self.run}/in/ca.crt", f"{work}/server.crt", f"{work}/server.key")

    # --- the CA, by openssl alone ---

    def authority(self):
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        must("openssl", "req", "-x509", *new, "-keyout", f"{self.work}/ca.key", "-out", f"{self.run}/in/ca.crt", "-days", "30", "-subj", "/CN=Root",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", env=days_ago(3))
        must("openssl", "req", *new, "-keyout", f"{self.work}/server.key", "-out", f"{self.work}/server.csr", "-subj", "/CN=localhost")
        self.sign(f"{self.work}/server.csr", f"{self.work}/server.crt", 0, "serverAuth", "DNS:localhost")

    def sign(self, csr, out, days=0, usage="clientAuth", san=f"URI:urn:uuid:{PLANT}"):
        with open(f"{self.work}/ext", "w", encoding="ascii") as ext:
            ext.write("basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n"
                      f"extendedKeyUsage = {usage}\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\nsubjectAltName = {san}\n")
        must("openssl", "x509", "-req", "-in", csr, "-CA", f"{self.run}/in/ca.crt", "-CAkey", f"{self.work}/ca.key", "-set_serial",
             "0x4" + os.urandom(15).hex(), "-days", "20", "-extfile", f"{self.work}/ext", "-out", out, env=days_ago(days))

    def plain_files(self):
        """What the shell scripts of before left: ca.crt, device.crt, device.key."""
        os.makedirs(self.voke, exist_ok=True)
        must("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{self.voke}/device.key",
             "-out", f"{self.work}/old.csr", "-subj", f"/CN={PLANT}")
        self.sign(f"{self.work}/old.csr", f"{self.voke}/device.crt", 2)
        with open(f"{self.voke}/ca.crt", "w", encoding="ascii") as out, open(f"{self.run}/in/ca.crt", encoding="ascii") as pem:
            out.write("Platform CA\n" + pem.read())

    # --- what is kept and put back ---

    def keep(self, name):
        self.tpm.kill()
        for part in ("run", "tpm"):
            shutil.copytree(f"{self.work}/{part}", f"{self.work}/starts/{name}/{part}", symlinks=True)

    def put_back_tpm(self, source):
        self.tpm.kill()
        shutil.rmtree(self.tpm.folder)
        shutil.copytree(source, self.tpm.folder)
        self.tpm.start()

    def put_back(self, name):
        self.put_back_tpm(f"{self.work}/starts/{name}/tpm")
        shutil.rmtree(self.run)
        shutil.copytree(f"{self.work}/starts/{name}/run", self.run, symlinks=True)

    # --- running ---

    def plantcert(self, arguments, prefix=(), rules=None):
        """Runs plantcert in `run`; with rules, through the recorder."""
        environment = self.environment
        if rules is not None:
            if os.path.exists(self.log):
                os.remove(self.log)
            environment = dict(environment, PLANTCERT_TCTI=self.recorded(rules))
        return shell(*prefix, PLANTCERT, *arguments, env=environment, cwd=self.run)

    def recorded(self, rules):
        """The TPM, through the recorder."""
        return f"{RECORDER}:log={self.log},resume{rules}|{self.tpm.tcti}"

    def commands(self):
        """The codes of the commands that the TPM was sent in the last run with rules."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as log:
            return [line[5:8] for line in log]

    # --- what is there ---

    def octets(self, name):
        try:
            with open(f"{self.voke}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def standing(self):
        """The set that a client would load: None, "partial", or (key file, hash of certificates)."""
        ca, certificate, key, plain = [self.octets(name) for name in (*VISIBLE, "device.key")]
        if ca and certificate and (key or plain):
            return "device.tpm" if key else "device.key", hashlib.sha256(ca + certificate).hexdigest()
        return None if not (ca or certificate or key or plain) else "partial"

    def connect(self, key):
        """Why a TLS client with the set and this key does not get through; None when it does."""
        done = shell("openssl", "s_client", "-quiet", "-verify_return_error", "-connect", f"127.0.0.1:{self.server.port}", "-CAfile", "ca.crt",
                     "-cert", "device.crt", "-key", key, env=self.client, cwd=self.voke)
        pem = re.search(r"-----BEGIN[^-]*-----.*?-----END[^-]*-----", (self.octets("device.crt") or b"").decode(), re.S)
        leaf = ssl.PEM_cert_to_DER_cert(pem[0]) if pem else b""
        return None if f"met {hashlib.sha256(leaf).hexdigest()}" in done.stdout else f"no TLS connection: {done.stderr[:300]}"

    def state(self):
        done = self.plantcert(["status", "--json"])
        try:
            return json.loads(done.stdout)["state"]
        except (KeyError, ValueError):
            return f"exit {done.returncode}: {done.stderr.strip()}"

    def files(self):
        """Names, modes and records below the folder, generations counted from 1; and temporary files, which there must be none of."""
        numbers, listed, temporary = {}, [], []
        for folder, folders, names in os.walk(self.voke):
            folders.sort()
            inner = os.path.relpath(folder, self.voke)
            if inner == "generations":
                numbers = {name: f"G{n}" for n, name in enumerate(folders, 1)}
            for name in sorted(names + [f for f in folders if os.path.islink(f"{folder}/{f}")]):
                path = f"{folder}/{name}"
                if name.startswith(".") and name != ".lock":
                    temporary.append(path)
                what = os.readlink(path) if os.path.islink(path) else oct(os.stat(path).st_mode & 0o777)
                if name == "record":
                    with open(path, encoding="ascii") as record:
                        what = record.read()
                listed.append(f"{inner}/{name} {what}")
        text = "\0".join(sorted(listed))
        for name, number in numbers.items():
            text = re.sub(rf"\b{name}\b", number, text)
        temporary += [f"out/{name}" for name in os.listdir(f"{self.run}/out") if name.startswith(".")]
        return set(text.split("\0")), temporary
