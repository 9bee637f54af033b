"""Trainings that a worker runs for others: `/v1/snapshots`, `/v1/trainings` (rulings 19). Light: no torch in this process.

A folder keeps what was sent and what became of it, so that a worker that was stopped goes on when it starts again. Each
training is a child process; one runs at a time.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from funprm_worker.wire import WireError

SPLITS = ("training", "meta", "validation")
FILES = ("manifest.json", "model.onnx", "tokenizer.json", "MODEL_CARD.md", "table.jsonl")
"""What may be fetched of a finished training; the table is of the run, the rest is its bundle."""

LARGEST_SNAPSHOT = 256 << 20
KEYS = {"id", "config", "snapshots", "base"}
CONFIG = {"name", "version", "epochs", "seed"}

_ID = re.compile(r"[0-9a-z-]{4,64}")
_SHA = re.compile(r"[0-9a-f]{64}")


class Trainings:
    """`served` is the bundle that the worker scores with: what a training may start from, beside what it trained itself."""

    def __init__(self, folder: Path, served: Path, served_sha256: str, threads: int) -> None:
        self.folder, self.served, self.served_sha256, self.threads = folder, served, served_sha256, threads
        self.lock = threading.Lock()
        self.turn = threading.Lock()
        self.children: dict[str, subprocess.Popen[str]] = {}
        self.ending = False
        for name in ("snapshots", "trainings"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for request in sorted((folder / "trainings").glob("*/request.json")):
            if self.status(request.parent.name)["state"] in ("queued", "running"):
                self._begin(request.parent.name)

    # ------------------------------------------------------------ snapshots

    def put_snapshot(self, name: str, body: bytes) -> dict[str, Any]:
        """Keeps a gzip file of rows under its own hash; the same again is a no-op."""
        if not _SHA.fullmatch(name) or hashlib.sha256(body).hexdigest() != name:
            raise WireError(422, "BAD_INPUT", "the address must end with the hex SHA-256 of the body")
        path = self._snapshot(name)
        part = path.with_suffix(f".{threading.get_ident()}")
        part.write_bytes(body)
        part.replace(path)
        return {"sha256": name, "bytes": len(body)}

    def _snapshot(self, name: str) -> Path:
        return self.folder / "snapshots" / f"{name}.jsonl.gz"

    # ------------------------------------------------------------ trainings

    def start(self, value: Any) -> dict[str, Any]:
        """202 for the caller: a new training, or the one that this id has already. 409 when the id means another one."""
        request = self._checked(value)
        folder = self.folder / "trainings" / request["id"]
        with self.lock:
            known = folder / "request.json"
            if known.is_file():
                if json.loads(known.read_text()) != request:
                    raise WireError(409, "BAD_INPUT", f"training {request['id']} is another one: give a new id")
                if self.status(request["id"])["state"] != "failed":
                    return self.status(request["id"])
                # A failed training goes on from its last checkpoint.
                (folder / "failed").unlink()
            else:
                folder.mkdir(parents=True, exist_ok=True)
                data = folder / "data"
                data.mkdir(exist_ok=True)
                for split, name in request["snapshots"].items():
                    shutil.copyfile(self._snapshot(name), data / f"{split}.jsonl.gz")
                # Last: what has a request is complete.
                known.write_text(json.dumps(request))
        self._begin(request["id"])
        return self.status(request["id"])

    def status(self, name: str) -> dict[str, Any]:
        folder = self._folder(name)
        line = ""
        if (folder / "log").is_file():
            lines = (folder / "log").read_text(errors="replace").splitlines()
            line = lines[-1][:300] if lines else ""
        state = "done" if (folder / "done").is_file() else "failed" if (folder / "failed").is_file() else "queued"
        if state == "queued" and name in self.children:
            state = "running"
        step = {"step": 0, "of": None}
        metrics = folder / "run" / "metrics.jsonl"
        if metrics.is_file():
            rows = metrics.read_text().splitlines()
            if rows:
                step = {key: json.loads(rows[-1]).get(key) for key in ("step", "of")}
        files = [one for one in FILES if state == "done" and self._file(folder, one).is_file()]
        return {"id": name, "state": state, "line": line, **step, "files": files}

    def delete(self, name: str) -> dict[str, Any]:
        folder = self._folder(name)
        with self.lock:
            shutil.rmtree(folder)
            child = self.children.get(name)
        if child is not None:
            child.terminate()
        return {"id": name, "deleted": True}

    def file(self, name: str, file: str) -> bytes:
        folder = self._folder(name)
        if file not in self.status(name)["files"]:
            raise WireError(404, "BAD_USAGE", f"training {name} has no file {file[:40]!r}")
        return self._file(folder, file).read_bytes()

    @staticmethod
    def _file(folder: Path, file: str) -> Path:
        return folder / "run" / file if file == "table.jsonl" else folder / "bundle" / file

    def _folder(self, name: str) -> Path:
        folder = self.folder / "trainings" / name
        if not _ID.fullmatch(name) or not (folder / "request.json").is_file():
            raise WireError(404, "BAD_USAGE", f"no training {name[:64]!r}")
        return folder

    def _checked(self, value: Any) -> dict[str, Any]:
        def refuse(what: str) -> WireError:
            return WireError(422, "BAD_INPUT", what)

        if not isinstance(value, dict) or set(value) != KEYS:
            raise refuse(f"the body must be an object of {', '.join(sorted(KEYS))}")
        if not isinstance(value["id"], str) or not _ID.fullmatch(value["id"]):
            raise refuse("id: 4 to 64 of 0-9, a-z and -")
        config = value["config"]
        if not isinstance(config, dict) or set(config) != CONFIG:
            raise refuse(f"config: must be an object of {', '.join(sorted(CONFIG))}")
        if not all(isinstance(config[key], str) and config[key] for key in ("name", "version")):
            raise refuse("config: name and version must be texts")
        if not all(type(config[key]) is int and config[key] >= least for key, least in (("epochs", 1), ("seed", 0))):
            raise refuse("config: epochs and seed must be whole numbers, epochs at least 1")
        snapshots = value["snapshots"]
        if not isinstance(snapshots, dict) or not set(SPLITS) <= set(snapshots) <= {*SPLITS, "rehearsal"}:
            raise refuse("snapshots: must name training, meta and validation, and may name rehearsal")
        for split, name in snapshots.items():
            if not isinstance(name, str) or not _SHA.fullmatch(name) or not self._snapshot(name).is_file():
                raise WireError(404, "BAD_INPUT", f"snapshot {split}: not here; PUT /v1/snapshots/SHA256 first")
        if not isinstance(value["base"], str) or self._bundle(value["base"]) is None:
            raise WireError(404, "MODEL_REFUSED", "base: neither the model served here nor one trained here")
        return value

    def _bundle(self, sha256: str) -> Path | None:
        if sha256 == self.served_sha256:
            return self.served
        for manifest in (self.folder / "trainings").glob("*/bundle/manifest.json"):
            if json.loads(manifest.read_text()).get("modelSha256") == sha256:
                return manifest.parent
        return None

    # ------------------------------------------------------------ running

    def _begin(self, name: str) -> None:
        threading.Thread(target=self._run, args=(name,), daemon=True).start()

    def _run(self, name: str) -> None:
        folder = self.folder / "trainings" / name
        with self.turn:
            with self.lock:
                if self.ending or not (folder / "request.json").is_file() or (folder / "done").is_file():
                    return
                request = json.loads((folder / "request.json").read_text())
                base = self._bundle(request["base"])
                places = {"bundle": base, "data": folder / "data", "run": folder / "run", "out": folder / "bundle"}
                if "rehearsal" in request["snapshots"]:
                    places["rehearsal"] = folder / "data" / "rehearsal.jsonl.gz"
                given = {**places, **request["config"], "threads": self.threads}
                command = [sys.executable, "-m", "funprm_worker", "tune"]
                for key, value in given.items():
                    command += [f"--{key}", str(value)]
                with (folder / "log").open("a") as log:
                    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True)
                self.children[name] = child
            code = child.wait()
            with self.lock:
                self.children.pop(name, None)
                # A child that was stopped with the worker is neither done nor failed: it goes on at the next start.
                if folder.is_dir() and not self.ending:
                    (folder / ("done" if code == 0 else "failed")).write_text(str(code))

    def stop(self) -> None:
        """Ends the running child; its last checkpoint stays."""
        with self.lock:
            self.ending = True
            children = list(self.children.values())
        for child in children:
            child.terminate()
            child.wait()
