"""Runs one candidate inside the sandbox: a fork server that loads the candidate once and forks for its tests.

argv: MODE (call | stdin | tests), path of the candidate, longest answer in bytes.
Requests come as lines on stdin, each one Python literal `(KIND, NONCE, ...)`, for `calls` followed by a line for each;
answers leave as frames `NONCE KIND LENGTH\n` + LENGTH bytes + `\n` on a private duplicate of stdout. What the candidate prints goes to stderr.
Nothing here is trusted by the judge: expected values never come into this process (except the source of in-process tests).
"""
import os
import sys
from time import process_time as _cpu
from _json import encode_basestring_ascii as _quote
from binascii import b2a_base64 as _base64

_SAFE_INTEGER = 2**53
_MESSAGE_LIMIT = 500
_STDOUT_LIMIT = 8 * 2**20
# A fork that has used more CPU than this serves no further call: RLIMIT_CPU counts from its start.
_SHARED_SECONDS = 0.1


class _NotPlain(Exception):
    pass


class _TooLong(Exception):
    pass


def _encode(value, parts, budget, depth=0):
    """JSON text of the value forms of the judge, by exact built-in type. `budget` is a one-item list of bytes left."""
    kind = type(value)
    if value is None:
        text = "null"
    elif kind is bool:
        text = "true" if value else "false"
    elif kind is int:
        if value.bit_length() > 8 * budget[0]:
            raise _TooLong
        text = int.__repr__(value)
        if not -_SAFE_INTEGER < value < _SAFE_INTEGER:
            text = '{"$int":"%s"}' % text
    elif kind is float:
        text = float.__repr__(value)
        if text in ("nan", "inf", "-inf"):
            text = '{"$float":"%s"}' % text
    elif kind is str:
        if len(value) > budget[0]:
            raise _TooLong
        text = _quote(value)
    elif kind is bytes:
        if len(value) > budget[0]:
            raise _TooLong
        text = '{"$bytes":"%s"}' % _base64(value, newline=False).decode("ascii")
    else:
        _encode_container(value, kind, parts, budget, depth)
        return
    budget[0] -= len(text)
    if budget[0] < 0:
        raise _TooLong
    parts.append(text)


def _encode_container(value, kind, parts, budget, depth):
    if depth > 300:
        raise _NotPlain("nested more than 300 deep")
    budget[0] -= 2
    if kind is list or kind is tuple:
        parts.append("[" if kind is list else '{"$tuple":[')
        for index, item in enumerate(value):
            if index:
                parts.append(",")
            _encode(item, parts, budget, depth + 1)
        parts.append("]" if kind is list else "]}")
    elif kind is set or kind is frozenset:
        items = []
        for item in value:
            one = []
            _encode(item, one, budget, depth + 1)
            items.append("".join(one))
        items.sort()
        parts.append('{"$%s":[%s]}' % (kind.__name__, ",".join(items)))
    elif kind is dict or (kind.__module__ == "collections" and kind.__qualname__ in ("Counter", "OrderedDict", "defaultdict")):
        plain = kind is dict and all(type(key) is str and key[:1] != "$" for key in dict.keys(value))
        parts.append("{" if plain else '{"$dict":[')
        for index, (key, item) in enumerate(dict.items(value)):
            if index:
                parts.append(",")
            if not plain:
                parts.append("[")
            _encode(key, parts, budget, depth + 1)
            parts.append(":" if plain else ",")
            _encode(item, parts, budget, depth + 1)
            if not plain:
                parts.append("]")
        parts.append("}" if plain else "]}" if kind is dict else '],"$class":"%s"}' % kind.__qualname__)
    else:
        raise _NotPlain(kind.__name__)


def _error_text(error):
    """Names of the error's classes, most derived first, and its text, as JSON."""
    names = ",".join(_quote(str(base.__name__)) for base in type.mro(type(error)) if base is not object)
    try:
        message = str(error)[:_MESSAGE_LIMIT]
    except BaseException:
        message = ""
    return ('{"classes":[%s],"message":%s}' % (names, _quote(message))).encode("ascii")


def _frame(results, nonce, kind, payload=b""):
    data = ("%s %s %d\n" % (nonce, kind, len(payload))).encode("ascii") + payload + b"\n"
    while data:
        data = data[os.write(results, data):]


def _new_module(name, path):
    module = type(sys)(name)
    module.__file__ = path
    sys.modules[name] = module
    return module


def _resolve(namespace, path):
    target = None
    for index, part in enumerate(path):
        if part == "()":
            target = target()
        elif index == 0:
            if part not in namespace:
                raise NameError("the program does not define %s" % part)
            target = namespace[part]
        else:
            target = getattr(target, part)
    return target


def _call(results, limit, namespace, nonce, path, args, kwargs):
    child = os.getpid()
    try:
        value = _resolve(namespace, path)(*args, **kwargs)
    except BaseException as error:
        if os.getpid() == child:
            _frame(results, nonce, "raised", _error_text(error))
        return
    if os.getpid() != child:
        return
    try:
        parts = []
        _encode(value, parts, [limit])
        payload = "".join(parts).encode("ascii")
        if len(payload) > limit:
            raise _TooLong
    except _TooLong:
        _frame(results, nonce, "long")
    except BaseException as error:
        text = str(error) if type(error) is _NotPlain else type(value).__name__
        _frame(results, nonce, "odd", str(text)[:200].encode("utf-8", "replace"))
    else:
        _frame(results, nonce, "value", payload)


def _main_program(results, code, path, nonce, child):
    """The candidate as `__main__`, with what the interpreter does at its end. Gives the exit status."""
    module = _new_module("__main__", path)
    # stdlib modules that look for the main module by attribute find it complete.
    module.__builtins__ = __builtins__
    status = 0
    try:
        exec(code, module.__dict__)
    except SystemExit as stop:
        status = 0 if stop.code is None else stop.code & 0xFF if type(stop.code) is int else 1
    except BaseException as error:
        if os.getpid() == child:
            _frame(results, nonce, "raised", _error_text(error))
        status = 1
    try:
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        if "atexit" in sys.modules:
            sys.modules["atexit"]._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        status = status or 120
    return status


def _scratch():
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _stdin_test(results, requests, code, path, nonce, data):
    """One process for one case: input from a file, output into a file whose size RLIMIT_FSIZE bounds."""
    source, sink = _scratch(), _scratch()
    while data:
        data = data[os.write(source, data):]
    os.lseek(source, 0, os.SEEK_SET)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(requests)
            os.setsid()
            os.dup2(source, 0)
            os.dup2(sink, 1)
            sys.stdin = open(0, "r", encoding="utf-8", errors="surrogateescape", closefd=False)
            sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
            status = _main_program(results, code, path, nonce, os.getpid())
        except BaseException:
            status = 121
        os._exit(status)
    end = _wait(pid)
    size = os.fstat(sink).st_size
    os.lseek(sink, 0, os.SEEK_SET)
    if size > _STDOUT_LIMIT:
        _frame(results, nonce, "long")
    else:
        with open(sink, "rb", closefd=False) as file:
            _frame(results, nonce, "stdout", file.read())
    os.close(source)
    os.close(sink)
    _frame(results, nonce, "end", end)


def _wait(pid):
    _, status, usage = os.wait4(pid, 0)
    try:
        os.killpg(pid, 9)
    except OSError:
        pass
    return ('{"status":%d,"cpuMs":%.3f,"rssKb":%d}' % (
        os.waitstatus_to_exitcode(status), (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss)).encode("ascii")


def _request(line):
    return eval(line.decode("ascii"), {"__builtins__": {}, "inf": float("inf"), "nan": float("nan"),
                                       "frozenset": frozenset, "set": set})


def _calls(results, requests, nonce, asked, limit, namespace):
    """One fork answers the calls in their order, as long as they stay light and it stays alone; what it leaves the judge asks again.
    The end is ours to say, so that nothing is answered by who has killed or stopped us."""
    pid = os.fork()
    if pid == 0:
        try:
            os.close(requests)
            os.setsid()
            me = os.getpid()
            for line in asked:
                target, args, kwargs = _request(line)
                _call(results, limit, namespace, nonce, target, args, kwargs)
                # A copy that the candidate made of itself stops here: only one of us goes on.
                if os.getpid() != me or _cpu() > _SHARED_SECONDS or len(sys._current_frames()) > 1:
                    break
        except BaseException:
            pass
        os._exit(0)
    _frame(results, nonce, "end", _wait(pid))


def _load(mode, path, options):
    """Gives what the tests of this mode run on: a code object, a namespace, or for in-process tests how to make one."""
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path, "exec", dont_inherit=True)
    if mode == "stdin":
        return code

    def module():
        made = _new_module(options.get("module") or "candidate", path)
        if options.get("setup"):
            exec(compile(options["setup"], "setup.py", "exec", dont_inherit=True), made.__dict__)
        exec(code, made.__dict__)
        return made

    return module().__dict__ if mode == "call" else (options["bench"](options), module)


def _in_process_test(results, requests, nonce, loaded, style, identity):
    """The candidate gets neither the requests nor the result channel: the fork answers us, with a secret it had before."""
    bench, load = loaded
    source, sink = os.pipe()
    secret = os.urandom(16)
    pid = os.fork()
    if pid == 0:
        try:
            for descriptor in (requests, results, source):
                os.close(descriptor)
            os.setsid()
            _may_be_looked_at(True)
            kind, payload = bench.run(style, identity, _error_text, load)
            os.write(sink, secret + kind.encode("ascii") + b" " + payload[:8192])
        except BaseException:
            pass
        os._exit(0)
    os.close(sink)
    end = _wait(pid)
    # Whatever still lives holds the other end: what has been written by now is all that counts.
    os.set_blocking(source, False)
    try:
        said = os.read(source, 65536)
    except BlockingIOError:
        said = b""
    os.close(source)
    if said[:16] == secret:
        kind, _, payload = said[16:].partition(b" ")
        _frame(results, nonce, kind.decode("ascii"), payload)
    elif said:
        _frame(results, nonce, "tampered", b"a forged answer")
    _frame(results, nonce, "end", end)


def _may_be_looked_at(may):
    """Whether processes of this uid may open our descriptors and memory under /proc (PR_SET_DUMPABLE)."""
    import ctypes

    ctypes.CDLL(None).prctl(4, 1 if may else 0, 0, 0, 0)


def _without_site():
    """What the skipped `site` module gives honest programs: installed packages, exit() and quit(). It costs 3 ms of CPU."""
    import _sitebuiltins
    import builtins

    version = "python%d.%d" % sys.version_info[:2]
    for folder in ("/usr/local/lib/%s/dist-packages" % version, "/usr/lib/python3/dist-packages",
                   "/usr/local/lib/%s/site-packages" % version, "/usr/lib/%s/site-packages" % version):
        if os.path.isdir(folder):
            sys.path.append(folder)
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")


def _without_shared_memory():
    """Tier 2 has no /dev/shm of its own: multiprocessing's semaphores become pipes there."""
    try:
        os.close(os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError:
        space = {"__name__": "pipe_semaphore"}
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipe_semaphore.py"), "rb") as file:
            exec(compile(file.read(), "pipe_semaphore.py", "exec"), space)
        space["install"]()


def prepare():
    """What every candidate needs of this process before it is asked anything."""
    _without_site()
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)


def main(mode, path, limit):
    requests, results = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    sys.argv = [os.path.basename(path)]
    # Whoever imports __main__ finds nothing of ours.
    _new_module("__main__", path)
    bench = None
    if mode == "tests":
        _may_be_looked_at(False)
        here = os.path.dirname(os.path.abspath(__file__))
        space = {"__name__": "test_bench"}
        with open(os.path.join(here, "test_bench.py"), "rb") as file:
            exec(compile(file.read(), "test_bench.py", "exec"), space)
        bench = space
    _frame(results, "-", "hello", sys.version.split()[0].encode("ascii"))
    loaded = None
    server = os.getpid()
    with open(requests, "rb", closefd=False) as lines:
        for line in lines:
            request = _request(line)
            kind, nonce = request[0], request[1]
            if kind == "load":
                options = request[2]
                if bench is not None:
                    options["bench"] = bench["Bench"]
                try:
                    loaded = _load(mode, path, options)
                    failure = None
                except BaseException as error:
                    failure = _error_text(error)
                if os.getpid() != server:
                    os._exit(0)  # a copy that the candidate made while it loaded: only one of us answers
                if failure is not None:
                    _frame(results, nonce, "load-error", failure)
                times = os.times()
                cpu = (times.user + times.system + times.children_user + times.children_system) * 1000
                _frame(results, nonce, "end", b'{"status":0,"cpuMs":%.3f,"rssKb":0}' % cpu)
            elif kind == "calls":
                asked = [lines.readline() for _ in range(request[2])]
                _calls(results, requests, nonce, asked, limit, loaded)
            elif kind == "stdin":
                _stdin_test(results, requests, loaded, path, nonce, request[2].encode("utf-8", "surrogatepass"))
            else:
                _in_process_test(results, requests, nonce, loaded, request[2], request[3])


if __name__ == "__main__":
    try:
        prepare()
        _without_shared_memory()
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    finally:
        os._exit(0)  # nothing of the candidate runs at the interpreter's end
