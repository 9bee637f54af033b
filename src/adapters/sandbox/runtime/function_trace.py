"""Which functions each test executes, and which stand in the traceback of its failure, as `path#Qualified.name`.

FUNPRM_TRACE names a file with the paths to watch (a JSON list, relative to the working directory); what was seen goes beside
it, with `.out` at the end. A function inside another counts as the outer one. Names of functions need Python 3.11.
"""
import atexit
import json
import os
import sys
import threading

NEW_LOCALS = 2  # code of a function, not of a class or module
TOOL = 3  # of sys.monitoring: not one that debuggers, coverage or profilers take


class FunctionTrace:
    def __init__(self):
        self.file = os.environ["FUNPRM_TRACE"]
        with open(self.file, encoding="utf-8") as file:
            self.paths = {os.path.realpath(path): path for path in json.load(file)}
        self.ids = {}
        self.tests = {}
        self.executes = None
        self.seen = set()
        self.before = None
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.use_tool_id(TOOL, "funprm")
            monitoring.register_callback(TOOL, monitoring.events.PY_START, self.on_start)
        self.monitoring = monitoring
        self.pid = os.getpid()
        atexit.register(self.write)

    def id_of(self, code):
        """None for what is not watched."""
        if code not in self.ids:
            path = self.paths.get(os.path.realpath(code.co_filename)) if code.co_flags & NEW_LOCALS else None
            name = getattr(code, "co_qualname", "<").split(".<locals>")[0]
            self.ids[code] = None if path is None or "<" in name else path + "#" + name
        return self.ids[code]

    def note(self, code):
        self.seen.add(code)
        found = self.id_of(code)
        if found is not None and self.executes is not None:
            self.executes.add(found)

    def on_call(self, frame, _event, _argument):
        if frame.f_code not in self.seen:
            self.note(frame.f_code)

    def on_start(self, code, _offset):
        self.note(code)
        return self.monitoring.DISABLE

    def begin(self, test):
        self.executes = self.tests.setdefault(test, {"executes": set(), "traceback": []})["executes"]
        self.seen = set()
        if self.monitoring is not None:
            self.monitoring.set_events(TOOL, self.monitoring.events.PY_START)
            self.monitoring.restart_events()
            return
        self.before = sys.gettrace()
        threading.settrace(self.on_call)
        sys.settrace(self.on_call)

    def end(self):
        self.executes = None
        if self.monitoring is not None:
            self.monitoring.set_events(TOOL, 0)
            return
        threading.settrace(self.before)
        sys.settrace(self.before)

    def failed(self, test, traceback):
        frames = self.tests.setdefault(test, {"executes": set(), "traceback": []})["traceback"]
        while traceback is not None:
            found = self.id_of(traceback.tb_frame.f_code)
            if found is not None and found not in frames:
                frames.append(found)
            traceback = traceback.tb_next

    def write(self):
        if os.getpid() != self.pid:
            return
        tests = {test: {**seen, "executes": sorted(seen["executes"])} for test, seen in self.tests.items()}
        with open(self.file + ".out", "w", encoding="utf-8") as file:
            json.dump(tests, file)
