"""Judges what is left of a command that was stopped and then completed: outcome.py RUN START REFERENCE, three folders with the token, the
state and the output of the run, of what it started from, and of a run that nobody disturbed; or, before it is completed, outcome.py RUN:
only whether what was given out is on record. Prints what is not as it must be."""
import hashlib
import os
import sqlite3
import subprocess
import sys
from base64 import b64decode

run = sys.argv[1]
LIVE = "'current', 'superseded', 'held', 'revoked', 'foreign'"


def complain(text):
    print(text)


def octets(path):
    with open(path, "rb") as file:
        return file.read()


def from_pem(path):
    """The DER of a file's first PEM block."""
    lines = octets(path).decode().split("\n")
    if not lines[0].startswith("-----BEGIN ") or not any(line.startswith("-----END ") for line in lines):
        complain(f"{path} is half a file")
        return b""
    return b64decode("".join(lines[1 : next(i for i, line in enumerate(lines) if line.startswith("-----END "))]))


def element(der, at):
    """Tag, start of the contents, end of the element that begins at `at`."""
    length, body = der[at + 1], at + 2
    if length & 0x80:
        body += length & 0x7F
        length = int.from_bytes(der[at + 2 : body], "big")
    return der[at], body, body + length


def elements(der, at, end):
    while at < end:
        tag, body, after = element(der, at)
        yield tag, at, body, after
        at = after


def tbs_of(der):
    _, body, _ = element(der, 0)
    return der[body : element(der, body)[2]]


def listed(der):
    """The serial numbers on a CRL, in hex."""
    tbs = tbs_of(der)
    _, body, end = element(tbs, 0)
    # revokedCertificates is the one SEQUENCE after nextUpdate; before it stand signature and issuer.
    sequences = [(b, a) for tag, _, b, a in elements(tbs, body, end) if tag == 0x30]
    if len(sequences) < 3:
        return set()
    serials = set()
    for _, _, b, _ in elements(tbs, *sequences[2]):
        _, first, last = element(tbs, b)
        serials.add(tbs[first:last].lstrip(b"\0").hex())
    return serials


class State:
    def __init__(self, folder):
        self.folder = folder
        path = os.path.join(folder, "state/ledger.db")
        if not os.path.exists(path):
            self.db = None
            return
        self.db = sqlite3.connect(path)
        # Before its tables are made, it is no ledger.
        if not self.ask("SELECT 1 FROM sqlite_master WHERE name = 'body'"):
            self.db = None

    def ask(self, sql, *values):
        return self.db.execute(sql, values).fetchall() if self.db else []

    def one(self, sql, *values):
        return self.ask(sql, *values)[0][0]

    def objects(self):
        found = []
        for _, _, files in os.walk(os.path.join(self.folder, "token")):
            found += [name for name in files if name.endswith(".object") and name != "token.object"]
        return len(found)

    def live(self):
        return sorted(self.ask(f"SELECT profile, subject, state, reason FROM certificate WHERE state IN ({LIVE})"))

    def crl(self):
        """The newest of our own that was signed."""
        return self.ask("SELECT der, number FROM crl WHERE der IS NOT NULL AND issuer = 1 ORDER BY number DESC LIMIT 1")[0]

    def serials(self, where):
        return {row[0].lstrip(b"\0").hex() for row in self.ask(f"SELECT serial FROM certificate WHERE {where}")}


def keys():
    """Keys in the token of the run that somebody could find. Where the token was killed while it made a pair, SoftHSM leaves objects without
    an id; all others must be a pair of which both halves are there."""
    listing = subprocess.run(
        ["p11tool", "--provider", os.environ["SOFTHSM_MODULE"], "--login", "--set-pin=1234", "--only-urls", "--list-all", "pkcs11:token=voke-ca"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    ).stdout
    urls = [url for url in listing.split() if ";id=" in url]
    halves = {kind: sorted(url.rpartition(";")[0] for url in urls if url.endswith("type=" + kind)) for kind in ("public", "private")}
    if halves["public"] != halves["private"]:
        complain(f"half a pair in the token: {halves}")
    return len(urls)


def given_out():
    """Files of the run, which must hold certificates and CRLs on record."""
    known = {row[0] for row in now.ask("SELECT der FROM body WHERE der IS NOT NULL")}
    known |= {row[0] for row in now.ask("SELECT der FROM crl WHERE der IS NOT NULL")}
    for name in names(run):
        if name.endswith((".crt", ".crl")) and from_pem(os.path.join(run, name)) not in known:
            complain(f"{name} is not on record")


def names(tree):
    # A file that is being written has a name of its own, with a dot before it, and is nobody's.
    return {
        os.path.relpath(os.path.join(folder, name), tree)
        for part in ("out", "published")
        for folder, _, files in os.walk(os.path.join(tree, part))
        for name in files
        if not name.startswith((".", "receipt-"))
    }


now = State(run)
if len(sys.argv) == 2:
    given_out()
    sys.exit()
start, reference = sys.argv[2:4]
before, undisturbed = State(start), State(reference)

# --- the database ---
if now.one("PRAGMA integrity_check") != "ok" or now.ask("PRAGMA foreign_key_check"):
    complain("the database is damaged")
if now.one("SELECT count(*) - count(DISTINCT issuer || hex(serial)) FROM certificate") != 0:
    complain("a serial number twice")
if now.ask("SELECT 1 FROM certificate WHERE state IN ('reserved', 'signing')"):
    complain("an unfinished row")
if now.live() != undisturbed.live():
    complain(f"on record are {now.live()}, not {undisturbed.live()}")
count = now.objects()
if count != undisturbed.objects():
    count = keys()
if count != undisturbed.objects():
    complain(f"{count} halves of keys in the token, not {undisturbed.objects()}")

# --- what was signed is on record, and what may have been signed and is not issued is listed ---
crl, number = now.crl()
on_crl = listed(crl)
recorded = {}
for state, serial, tbs, der in now.ask(
    "SELECT state, serial, tbs, der FROM certificate JOIN body ON body.certificate = certificate.id"
):
    recorded[hashlib.sha256(tbs or tbs_of(der)).hexdigest()] = (state, serial.lstrip(b"\0").hex())
for row_number, tbs, der in now.ask("SELECT number, tbs, der FROM crl"):
    recorded[hashlib.sha256(tbs or tbs_of(der)).hexdigest()] = ("crl", row_number)
signed = os.path.join(run, "signed")
for line in octets(signed).decode().splitlines() if os.path.exists(signed) else []:
    label, digest = line.split(" ")
    if label != "plantca-root":
        continue
    state, serial = recorded.get(digest, ("none", ""))
    if state == "none":
        complain(f"a signature without a row: {digest}")
    if state == "void" and serial not in on_crl:
        complain(f"a void row that may have been signed is not listed: {serial}")

# --- revocations ---
must_be_listed = now.serials("listed_from IS NOT NULL AND state <> 'foreign' AND issuer = 1")
if on_crl != must_be_listed:
    complain(f"CRL {number} lists {sorted(on_crl)}, the record says {sorted(must_be_listed)}")
if before.db:
    lost = before.serials("state = 'revoked'") - now.serials("state = 'revoked'")
    if lost:
        complain(f"no longer revoked: {lost}")
    if number < before.crl()[1]:
        complain(f"CRL {number} is older than the one before")

# --- files ---
if from_pem(os.path.join(run, "state/ca.crl")) != crl:
    complain("ca.crl is not the newest CRL on record")
if from_pem(os.path.join(run, "state/ca.crt")) != now.one(
    "SELECT der FROM body JOIN issuer ON body.certificate = issuer.certificate WHERE issuer.id = 1"
):
    complain("ca.crt is not the certificate on record")
if names(run) != names(reference):
    complain(f"{sorted(names(run) ^ names(reference))} on one side only")
given_out()
