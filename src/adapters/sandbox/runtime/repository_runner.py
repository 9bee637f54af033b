"""Runs a repository's own test command on a private copy of its tree, inside the sandbox.

argv: the tree (read-only), the folder for the copy. One JSON line on stdin: {"nonce", "argv", "trace"}: `trace` lists the
paths that function_trace.py watches, null for none. Frames as driver.py: `log` (everything the command printed), `results`
(what the runner reported, JUnit XML or JSON of unittest_runner.py), `trace` (what function_trace.py saw), `end`.
"""
import json
import os
import resource
import shutil
import subprocess
import sys

MOST = 16 * 2**20


def frame(results, nonce, kind, payload=b""):
    data = ("%s %s %d\n" % (nonce, kind, len(payload))).encode("ascii") + payload + b"\n"
    while data:
        data = data[os.write(results, data):]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read(MOST)
    except OSError:
        return b""


def main():
    results = os.dup(1)
    os.dup2(2, 1)
    frame(results, "-", "hello", sys.version.split()[0].encode("ascii"))
    request = json.loads(sys.stdin.readline())
    nonce = request["nonce"]
    tree = os.path.join(sys.argv[2], "work")
    shutil.copytree(sys.argv[1], tree, symlinks=True, copy_function=shutil.copy)
    modules, own = os.environ.pop("FUNPRM_MODULES", ""), os.path.join(tree, "node_modules")
    if os.path.isdir(modules) and not os.path.lexists(own):
        os.symlink(modules, own)
    output = os.path.join(sys.argv[2], "log")
    found = os.path.join(sys.argv[2], "results")
    argv = [part.replace("{results}", found) for part in request["argv"]]
    environment = {**os.environ, "FUNPRM_RESULTS": found}
    if request["trace"] is not None:
        environment["FUNPRM_TRACE"] = os.path.join(sys.argv[2], "trace")
        with open(environment["FUNPRM_TRACE"], "w", encoding="utf-8") as file:
            json.dump(request["trace"], file)
    status = 127
    with open(output, "wb") as log:
        try:
            status = subprocess.run(argv, cwd=tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=environment).returncode
        except OSError as error:
            log.write(("%s: %s\n" % (argv[0], error.strerror)).encode())
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    frame(results, nonce, "log", read(output))
    frame(results, nonce, "results", read(found))
    frame(results, nonce, "trace", read(os.path.join(sys.argv[2], "trace.out")))
    frame(results, nonce, "end", json.dumps({"status": status, "cpuMs": (usage.ru_utime + usage.ru_stime) * 1000,
                                             "rssKb": usage.ru_maxrss}).encode("ascii"))


main()
