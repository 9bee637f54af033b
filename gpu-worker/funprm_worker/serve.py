"""The thin worker: `/v1/health`, `/v1/info`, `/v1/score` over HTTP (contracts.md, rulings 19).

Serves an exported bundle through onnxruntime, without torch, or a checkpoint folder of `train` (`config.json`,
`model.safetensors`, `tokenizer.json`) through torch. One request is scored at a time.
"""

import hmac
import json
import signal
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from funprm_worker.bundle import RENDER_VERSION, OnnxScorer, check_bundle, sha256_file
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.trainings import LARGEST_SNAPSHOT, Trainings
from funprm_worker.windows import plan_windows
from funprm_worker.wire import LIMITS, WIRE, ScoreRequest, ScoreRow, WireError, parse_score_request

BATCH_TOKENS = 4096
"""Padded tokens of one run; small batches lose nothing on a CPU."""

WAITING = 8
"""Requests that may wait for the one that is scored; more are answered 429."""

SILENCE_SECONDS = 60
"""A connection that neither sends nor reads for so long is closed."""

MIN_TOKEN = 16

Rewards = Callable[[list[list[int]]], list[list[float]]]
"""Batch of token ids → rewards at every position, ragged like the batch."""


class Scorer:
    """A loaded model. `info` is its entry of `/v1/info`."""

    def __init__(self, info: dict[str, Any], encoder: Encoder, rewards: Rewards) -> None:
        self.info = info
        self.encoder = encoder
        self.rewards = rewards
        self.lock = threading.Lock()

    @staticmethod
    def load(folder: Path, threads: int) -> "Scorer":
        """Raises `WorkerError("bad_bundle")` for what is neither a bundle nor a checkpoint, or is not what it says."""
        if (folder / "manifest.json").is_file():
            manifest = check_bundle(folder)
            encoder, session = Encoder.load(folder / "tokenizer.json"), OnnxScorer(folder / "model.onnx", threads)
            facts = {key: manifest[key] for key in ("name", "version", "renderVersion", "attention", "maxTokens")}
            info = {**facts, "sha256": manifest["modelSha256"], "active": True}
            return Scorer(info, encoder, lambda batch: session.rewards(batch, encoder.pad_id))
        if not (folder / "model.safetensors").is_file():
            raise WorkerError(
                "bad_bundle", f"{folder}: neither a bundle (manifest.json) nor a checkpoint (model.safetensors)"
            )
        import torch

        from funprm_worker.model import load_model, rewards_of

        torch.set_num_threads(threads)
        encoder, model = Encoder.load(folder / "tokenizer.json"), load_model(folder)
        if encoder.vocab_size > model.config.vocab_size:
            raise WorkerError(
                "bad_bundle",
                f"{folder}: tokenizer.json has {encoder.vocab_size} tokens, the model {model.config.vocab_size}",
            )
        info = {
            "name": folder.resolve().name,
            "version": "checkpoint",
            "sha256": sha256_file(folder / "model.safetensors"),
            "renderVersion": RENDER_VERSION,
            "attention": "causal",
            "maxTokens": model.config.max_position_embeddings,
            "active": True,
        }
        return Scorer(info, encoder, lambda batch: rewards_of(model, batch, encoder.pad_id))

    def score(self, request: ScoreRequest) -> dict[str, Any]:
        """Raises `WireError`: 409 for another render version or model, 413 above the limit of tokens, 500 for NaN."""
        info = self.info
        if request.render_version != info["renderVersion"]:
            raise WireError(
                409,
                "MODEL_REFUSED",
                f"rows of render version {request.render_version[:20]!r}, {info['name']} was trained on"
                f" {info['renderVersion']}: use a program and a model of one version",
            )
        if request.model is not None and request.model != (info["name"], info["version"]):
            raise WireError(
                409,
                "MODEL_REFUSED",
                f"this worker serves {info['name']} {info['version']}, not {' '.join(request.model)[:80]}",
            )
        sequences: list[tuple[list[int], list[tuple[int, int, int]]]] = []
        prompts: dict[str, list[int]] = {}
        results = []
        seen = 0
        for at, row in enumerate(request.rows):
            if row.prompt not in prompts:
                prompts[row.prompt] = self.encoder.ids(row.prompt)
                seen += len(prompts[row.prompt])
            result, windows = self._windows(at, row, prompts[row.prompt])
            seen += sum(result["tokens"])
            if seen > LIMITS["tokens"]:
                raise WireError(413, "BAD_INPUT", f"over {LIMITS['tokens']} tokens: send the rows in parts")
            results.append(result)
            sequences += windows
        with self.lock:
            for batch in _batches(sequences):
                rewards = self.rewards([ids for ids, _ in batch])
                for (_, reads), values in zip(batch, rewards, strict=True):
                    for position, at, completion in reads:
                        reward = values[position]
                        if not 0 <= reward <= 1:
                            raise WireError(
                                500,
                                "REWARD_MODEL_FAILED",
                                f"row {request.rows[at].id[:80]}: reward {reward} of step {completion} is not in [0,1]",
                            )
                        results[at]["rewards"][completion] = reward
        model = {key: info[key] for key in ("name", "version", "sha256", "renderVersion")}
        return {"model": model, "rows": results}

    def _windows(
        self, at: int, row: ScoreRow, prompt: list[int]
    ) -> tuple[dict[str, Any], list[tuple[list[int], list[tuple[int, int, int]]]]]:
        """Sequences to run for one row, each with the (position, row, completion) that are read from it."""
        encoder, limit = self.encoder, self.info["maxTokens"]
        steps = [encoder.ids(text) for text in row.completions]
        signatures = [None if text == "" else encoder.ids(text) for text in row.signatures]
        lengths = [None if ids is None else len(ids) for ids in signatures]
        plan = plan_windows(len(prompt), [len(ids) for ids in steps], lengths, limit)
        truncated, sequences = 0, []
        for window in plan.windows:
            parts = [steps[k] if whole else signatures[k] or [] for k, whole in window.parts]
            encoded = assemble(prompt, parts, encoder.step_id, limit)
            truncated = max(truncated, encoded.truncated_tokens)
            reads = [
                (encoded.step_positions[place], at, k)
                for place, (k, _) in enumerate(window.parts)
                if k in window.targets
            ]
            sequences.append((encoded.ids, reads))
        return {
            "id": row.id,
            "rewards": [None] * len(steps),
            "reasons": ["too_long" if k in plan.too_long else None for k in range(len(steps))],
            "tokens": [len(ids) for ids in steps],
            "truncatedTokens": truncated,
            "windowed": plan.windowed,
        }, sequences


def _batches(sequences: list[tuple[list[int], Any]]) -> list[list[tuple[list[int], Any]]]:
    batches: list[list[tuple[list[int], Any]]] = []
    for sequence in sorted(sequences, key=lambda one: len(one[0])):
        # Sorted: the newcomer is the longest, so it sets the width.
        if batches and (len(batches[-1]) + 1) * len(sequence[0]) <= BATCH_TOKENS:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return batches


def read_token(path: Path) -> str:
    """Raises `WorkerError("bad_config")` when the file is missing, too short, or open to other users of the machine."""
    try:
        token = path.read_text().strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as problem:
        raise WorkerError("bad_config", f"--token-file {path}: cannot be read ({problem})") from problem
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise WorkerError(
            "bad_config",
            f"--token-file {path}: needs one line of at least {MIN_TOKEN} characters (openssl rand -hex 32)",
        )
    if mode & 0o077:
        raise WorkerError("bad_config", f"--token-file {path}: other users can read it; chmod 600 {path}")
    return token


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], scorer: Scorer, token: str, trainings: Trainings | None = None
    ) -> None:
        self.scorer = scorer
        self.trainings = trainings
        self.token = token
        self.places = threading.BoundedSemaphore(WAITING + 1)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: requests hold people's code."""

    def version_string(self) -> str:
        return "funprm-worker"

    def _answer(self, method: str) -> None:
        kind = "application/json"
        try:
            status, body = self._route(method)
        except WireError as problem:
            status, body = problem.status, problem.body()
            # What was not read of the body would be taken for the next request.
            self.close_connection = True
        if isinstance(body, bytes):
            data, kind = body, "application/octet-stream"
        else:
            data = json.dumps(body, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        if status in (429, 503) and not isinstance(body, bytes):
            self.send_header("retry-after", str(body["error"].get("retryAfter", 1)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _route(self, method: str) -> tuple[int, dict[str, Any] | bytes]:
        path = self.path.split("?")[0]
        if (method, path) == ("GET", "/v1/health"):
            return 200, {"status": "ok"}
        self._authorise()
        if (method, path) == ("GET", "/v1/info"):
            trains = self.server.trainings is not None
            return 200, {"wire": WIRE, "models": [self.server.scorer.info], "trains": trains, "limits": LIMITS}
        if path.startswith(("/v1/snapshots/", "/v1/trainings")):
            return self._train(method, path.split("/")[2:])
        if (method, path) != ("POST", "/v1/score"):
            raise WireError(404, "BAD_USAGE", "no such address: GET /v1/health, GET /v1/info, POST /v1/score")
        if not self.server.places.acquire(blocking=False):
            raise WireError(429, "WORKER_UNAVAILABLE", f"{WAITING} requests wait already: try again", retry_after=1)
        try:
            return 200, self.server.scorer.score(parse_score_request(self._body()))
        finally:
            self.server.places.release()

    def _train(self, method: str, parts: list[str]) -> tuple[int, dict[str, Any] | bytes]:
        trainings = self.server.trainings
        if trainings is None:
            raise WireError(404, "BAD_USAGE", "this worker does not train: start it with --trainings FOLDER")
        if method == "PUT" and len(parts) == 2 and parts[0] == "snapshots":
            return 201, trainings.put_snapshot(parts[1], self._bytes(LARGEST_SNAPSHOT))
        if method == "POST" and parts == ["trainings"]:
            return 202, trainings.start(self._body())
        if method == "GET" and len(parts) == 2 and parts[0] == "trainings":
            return 200, trainings.status(parts[1])
        if method == "GET" and len(parts) == 4 and parts[0] == "trainings" and parts[2] == "files":
            return 200, trainings.file(parts[1], parts[3])
        if method == "DELETE" and len(parts) == 2 and parts[0] == "trainings":
            return 200, trainings.delete(parts[1])
        raise WireError(
            404, "BAD_USAGE", "no such address: PUT /v1/snapshots/SHA256, POST /v1/trainings, GET or DELETE .../ID"
        )

    def _authorise(self) -> None:
        given = self.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            raise WireError(401, "BAD_CONFIG", "the bearer token is missing or not this worker's")

    def _bytes(self, limit: int) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            raise WireError(400, "BAD_INPUT", "content-length is needed")
        if int(length) > limit:
            raise WireError(413, "BAD_INPUT", f"{length} bytes, the limit is {limit}: send rows in parts")
        return self.rfile.read(int(length))

    def _body(self) -> Any:
        data = self._bytes(LIMITS["bytes"])
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as problem:
            raise WireError(400, "BAD_INPUT", f"the body is not JSON ({str(problem)[:80]})") from problem


def serve(folder: Path, host: str, port: int, token_file: Path, threads: int, training: Path | None = None) -> None:
    """Serves until SIGTERM or SIGINT; prints `{"url": …}` on stdout once it listens (port 0 takes a free one).

    `training` is where the snapshots, runs and bundles of trainings stand; None: this worker does not train.
    """
    token = read_token(token_file)
    scorer = Scorer.load(folder, threads)
    if training is not None and not (folder / "manifest.json").is_file():
        raise WorkerError("bad_config", f"--trainings needs a bundle to start from, and {folder} is a checkpoint")
    trainings = None if training is None else Trainings(training, folder, scorer.info["sha256"], threads)
    try:
        server = Server((host, port), scorer, token, trainings)
    except OSError as problem:
        raise WorkerError("bad_config", f"cannot listen on {host}:{port} ({problem.strerror or problem})") from problem

    def stop(*_: Any) -> None:
        # `shutdown` waits for the loop, which runs in this very thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    shown = f"[{host}]" if ":" in host else host
    print(json.dumps({"url": f"http://{shown}:{server.server_address[1]}"}), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    if trainings is not None:
        trainings.stop()
