#!/usr/bin/python3
"""A terminal for a program that fills one: terminal.py ROWSxCOLUMNS SCRIPT COMMAND…

SCRIPT has a step a line: `see TEXT` waits until TEXT is on the screen, `gone TEXT` until it is not, `keys TEXT` types it (\\e for escape),
`size ROWSxCOLUMNS` resizes, `kill NAME` sends a signal, `run COMMAND` runs a shell command,
`end CODE` waits for the end and its exit code (minus a signal's number). What a step waited for in vain is told with the screen. At the
end the terminal must be as it was: cooked, with echo."""
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time

TOKEN = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z@])|\x1b[()][A-Za-z0-9]|\x1b[=>78MDEc]|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]")


class Screen:
    def __init__(self, rows, columns):
        self.size(rows, columns)

    def size(self, rows, columns):
        self.rows, self.columns, self.y, self.x = rows, columns, 0, 0
        self.cells = [[" "] * columns for _ in range(rows)]

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def csi(self, parameters, final):
        n = [int(p) if p.isdigit() else 0 for p in parameters.split(";")] if not parameters.startswith("?") else [0]
        if final in "Hf":
            self.y, self.x = max(n[0], 1) - 1, max(n[1] if len(n) > 1 else 1, 1) - 1
        elif final in "ABCD":
            step = max(n[0], 1)
            self.y += {"A": -step, "B": step}.get(final, 0)
            self.x += {"C": step, "D": -step}.get(final, 0)
        elif final in "JK":
            first = 0 if n[0] else self.x
            last = self.x + 1 if n[0] == 1 else self.columns
            self.cells[self.y][first:last] = [" "] * (last - first)
            if final == "J":
                for y in range(self.rows):
                    if n[0] == 2 or (n[0] == 0 and y > self.y) or (n[0] == 1 and y < self.y):
                        self.cells[y] = [" "] * self.columns
        self.y, self.x = min(max(self.y, 0), self.rows - 1), min(max(self.x, 0), self.columns)

    def feed(self, data):
        for m in TOKEN.finditer(data):
            token = m.group(0)
            if m.group(2):
                self.csi(m.group(1).decode(), m.group(2).decode())
            elif token == b"\r":
                self.x = 0
            elif token == b"\n":
                self.y = min(self.y + 1, self.rows - 1)
            elif token == b"\b":
                self.x = max(self.x - 1, 0)
            elif token[0] >= 32 and token[0] != 127 and len(token) == 1:
                if self.x >= self.columns:
                    self.x, self.y = 0, min(self.y + 1, self.rows - 1)
                self.cells[self.y][self.x] = chr(token[0])
                self.x += 1


class Run:
    def __init__(self, rows, columns, command):
        self.master, self.slave = pty.openpty()
        self.screen, self.rest = Screen(rows, columns), b""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.size(rows, columns)

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            data = self.rest + os.read(self.master, 65536)
            cut = data.rfind(b"\x1b")
            whole = cut < 0 or any(m.start() == cut for m in TOKEN.finditer(data)) or len(data) - cut > 16
            self.rest = b"" if whole else data[cut:]
            self.screen.feed(data if whole else data[:cut])

    def until(self, what, true):
        end = time.monotonic() + 20
        while not true():
            if time.monotonic() > end:
                sys.exit("in vain: %s\n%s" % (what, self.screen.text()))
            self.read(0.1)

    def end(self, code):
        self.until("the end", lambda: self.process.poll() is not None)
        if self.process.returncode != code:
            sys.exit("exit %d, not %d\n%s" % (self.process.returncode, code, self.screen.text()))
        if termios.tcgetattr(self.slave) != self.before:
            sys.exit("the terminal is not as it was")

    def step(self, verb, rest):
        if verb == "see":
            self.until("to see " + rest, lambda: rest in self.screen.text())
        elif verb == "gone":
            self.until("that it goes: " + rest, lambda: rest not in self.screen.text())
        elif verb == "keys":
            os.write(self.master, rest.replace("\\e", "\x1b").encode())
        elif verb == "size":
            self.resize(*map(int, rest.split("x")))
        elif verb == "kill":
            os.kill(self.process.pid, getattr(signal, "SIG" + rest))
        elif verb == "run":
            subprocess.run(rest, shell=True, check=True)
        elif verb == "end":
            self.end(int(rest))
        else:
            sys.exit("no such step: " + verb)


rows, columns = map(int, sys.argv[1].split("x"))
run = Run(rows, columns, sys.argv[3:])
try:
    for line in sys.argv[2].strip().splitlines():
        run.step(*(line.strip().split(" ", 1)))
finally:
    if run.process.poll() is None:
        run.process.kill()
