"""Power cuts in the middle of loading and of signing must not count as attempts to guess: power_lockout.py CUTS
A TPM counts an attempt when it starts again after a use of an object without noDA that TPM2_Shutdown did not end; three of them, and it is
locked (Part 1 §19.8). The same cuts with such a key, and such a parent, made by tpm2-tools, show that the cuts are of that kind."""
import base64
import os
import shutil
import sys

from power_plc import Plc, Tap, must, shell

CUTS = int(sys.argv[1])
WORK = os.environ["WORK"]
CREATE, LOAD, SIGN = "153", "157", "15d"
SRK, PARENT = "0x81000001", "0x81000099"
PLAIN = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"

tap = Tap()


def cuts(plc, code, command, acts, count):
    """Power cuts at the first TPM command `code` that `command` sends. How many were met until the TPM was locked, or all."""
    for n in range(count):
        if os.path.exists(plc.log):
            os.remove(plc.log)
        act = acts[n % len(acts)]
        done = command(plc.recorded(f",{act}={code}@1={plc.tpm.process.pid}"))
        if not plc.tpm.is_killed():
            raise RuntimeError(f"command {code} was never sent: {done.stderr}")
        plc.tpm.kill()
        plc.tpm.start()
        if plc.tpm.lockout()[0]:
            return n + 1
    return count


def harmless(plc, what, code, command):
    """After the command was carried out, and while the TPM is at it."""
    met = cuts(plc, code, command, ("cut", "reset"), CUTS)
    locked, failures = plc.tpm.lockout()
    tap.say(met == CUTS and not locked and failures == 0, f"{what}: {CUTS} power cuts, and no attempt is counted",
            [f"after {met} cuts: locked {locked}, counter {failures}"])


def harmful(plc, what, code, command):
    met = cuts(plc, code, command, ("cut",), CUTS)
    locked, failures = plc.tpm.lockout()
    tap.say(locked and met == 3, f"{what}: locked after {met} of the same cuts", [f"locked {locked}, counter {failures}"])


def keygen(plc):
    def run(tcti):
        shutil.rmtree(plc.voke, ignore_errors=True)
        return shell(os.environ["PLANTCERT"], "keygen", env=dict(plc.environment, PLANTCERT_TCTI=tcti))

    return run


def sign(plc, key):
    """By a program of the user's, through the provider."""

    def run(tcti):
        return shell("openssl", "dgst", "-sha256", "-sign", key, "-out", f"{plc.work}/signature", f"{plc.run}/in/ca.crt",
                     env=dict(plc.client, PLANTCERT_TCTI=tcti))

    return run


def signs(plc, key, what):
    done = sign(plc, key)(plc.tpm.tcti)
    tap.say(done.returncode == 0, what, [done.stderr])


def ours(store):
    work = f"{WORK}/{store}"
    os.mkdir(work)
    plc = Plc(work, store, int(os.environ["PORT"]), False)
    plc.tpm.start()
    # The SRK is there from here on.
    must(os.environ["PLANTCERT"], "keygen", env=plc.environment)
    harmless(plc, f"keygen, making the key ({store})", CREATE, keygen(plc))
    if store == "handle":
        harmless(plc, "keygen, loading the key on its way to the handle", LOAD, keygen(plc))
    must(os.environ["PLANTCERT"], "keygen", env=plc.environment)
    key = f"{plc.voke}/pending/key.tpm"
    if store == "blob":
        harmless(plc, "a client, loading the key (blob)", LOAD, sign(plc, key))
    harmless(plc, f"a client, signing ({store})", SIGN, sign(plc, key))
    signs(plc, key, f"the key signs ({store})")
    return plc, key


def der(tag, body):
    size = len(body)
    length = bytes([size]) if size < 128 else b"\x81" + bytes([size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def theirs(plc, name, parent, attributes):
    """A key by tpm2-tools, as TSS2 PRIVATE KEY. (tpm2_encodeobject 5.4 writes one that claims to have an auth value.)"""
    file = f"{plc.work}/{name}"
    must("tpm2_create", "-T", plc.tpm.tcti, "-Q", "-C", parent, "-G", "ecc:ecdsa", "-a", attributes, "-u", f"{file}.pub", "-r", f"{file}.priv")
    must("tpm2_flushcontext", "-T", plc.tpm.tcti, "-t")
    halves = b""
    for half in ("pub", "priv"):
        with open(f"{file}.{half}", "rb") as octets:
            halves += der(0x04, octets.read())
    loadable, empty_auth = der(0x06, bytes.fromhex("6781050a0103")), der(0xA0, der(0x01, b"\xff"))
    key = der(0x30, loadable + empty_auth + der(0x02, b"\0" + bytes.fromhex(parent[2:])) + halves)
    with open(f"{file}.pem", "w", encoding="ascii") as pem:
        pem.write(f"-----BEGIN TSS2 PRIVATE KEY-----\n{base64.encodebytes(key).decode()}-----END TSS2 PRIVATE KEY-----\n")
    return f"{file}.pem"


def main():
    plc, key = ours("handle")
    plc.tpm.kill()
    plc, key = ours("blob")
    # The same client, the same cuts.
    must("tpm2_createprimary", "-T", plc.tpm.tcti, "-Q", "-C", "o", "-G", "ecc", "-c", f"{WORK}/parent.ctx")
    must("tpm2_evictcontrol", "-T", plc.tpm.tcti, "-Q", "-C", "o", "-c", f"{WORK}/parent.ctx", PARENT)
    must("tpm2_flushcontext", "-T", plc.tpm.tcti, "-t")
    plain = theirs(plc, "key", SRK, PLAIN)
    child = theirs(plc, "child", PARENT, PLAIN + "|noda")
    for file in (plain, child):
        signs(plc, file, f"{os.path.basename(file)} by tpm2-tools signs")
    harmful(plc, "a key without noDA, signing", SIGN, sign(plc, plain))
    signs(plc, key, "our key signs all the same, with the TPM locked")
    done = sign(plc, plain)(plc.tpm.tcti)
    tap.say(done.returncode != 0, "… and that one no longer")
    must("tpm2_dictionarylockout", "-T", plc.tpm.tcti, "--clear-lockout")
    harmful(plc, "a parent without noDA, loading", LOAD, sign(plc, child))
    signs(plc, key, "our key signs all the same, with the TPM locked")
    return tap.finish()


sys.exit(main())
