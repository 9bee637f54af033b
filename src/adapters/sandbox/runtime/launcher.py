"""Tier 2: confines a process where there are no namespaces, then runs it. Landlock for files, signals and abstract sockets,
the seccomp filter for everything else, resource limits by prlimit after the `--`.

argv: descriptor of the filter, then `--read PATH` and `--write PATH`, then `--` and the command.
Exit code 125: the kernel lacks something; stderr says what.
"""
import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
# landlock.h: EXECUTE 1, WRITE_FILE 2, READ_FILE 4, READ_DIR 8, REMOVE_* 16|32, MAKE_* 64..4096, REFER 8192, TRUNCATE 16384, IOCTL_DEV 32768
READ = 1 | 4 | 8
FILE_RIGHTS = 1 | 2 | 4 | 16384 | 32768
ALL = (1 << 16) - 1
# What a scratch folder needs: no device nodes, no sockets.
WRITE = READ | 2 | 16 | 32 | 128 | 256 | 16384
SCOPE_ABSTRACT_SOCKET, SCOPE_SIGNAL = 1, 2
# Signals across the border are stopped since ABI 6 (Linux 6.12): without it a candidate could kill the judge.
NEEDED_ABI = 6

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Below(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def need(ok, what):
    if not ok:
        sys.stderr.write("%s: %s\n" % (what, os.strerror(ctypes.get_errno())))
        os._exit(125)


def landlock(rules):
    abi = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < NEEDED_ABI:
        sys.stderr.write("Landlock ABI %d found, %d needed (Linux 6.12)\n" % (max(abi, 0), NEEDED_ABI))
        os._exit(125)
    attributes = Ruleset(ALL, 3, SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL)
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), 0)
    need(ruleset >= 0, "landlock_create_ruleset")
    for kind, path in rules:
        parent = os.open(path, os.O_PATH)
        access = READ if kind == "--read" else WRITE
        if not os.path.isdir(path):
            access = (access | 2) & FILE_RIGHTS if path == "/dev/null" else access & FILE_RIGHTS
        below = Below(access, parent)
        need(libc.syscall(ADD_RULE, ruleset, 1, ctypes.byref(below), 0) == 0, "landlock_add_rule " + path)
        os.close(parent)
    need(libc.syscall(RESTRICT_SELF, ruleset, 0) == 0, "landlock_restrict_self")
    os.close(ruleset)


def main():
    arguments = sys.argv[2:]
    command = arguments[arguments.index("--") + 1:]
    options = arguments[:arguments.index("--")]
    descriptor = int(sys.argv[1])
    code = os.pread(descriptor, 1 << 16, 0)
    os.close(descriptor)
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child:
        # Stays outside the limits: it reaps what the candidate leaves behind and passes the exit code on.
        while True:
            pid, status = os.wait()
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(128 - code if code < 0 else code)
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
    os.setsid()
    need(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs")
    landlock(list(zip(options[::2], options[1::2])))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(buffer))
    need(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0, "seccomp")
    os.execv(command[0], command)


main()
