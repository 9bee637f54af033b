/** generate → label → train → evaluate in one folder, each stage resumed or skipped when it is done (method.md section 10). */
import type { TrialRule } from "../domain/adaptive-trials.ts";
import type { PromptStyle } from "../domain/chain-of-function.ts";
import type { EvaluationReport } from "../evaluation/report.ts";
import type { Files, Generator, Judge, Log, RewardModel, RowCache, Sample, Syntax, Trainer } from "../ports.ts";
import { buildDataset } from "./build-dataset.ts";
import { evaluateSets, type Reward } from "./evaluate-sets.ts";
import type { Evidence } from "./gather-evidence.ts";
import { type GenerateSummary, generateCandidates } from "./generate-candidates.ts";
import { type LabelSummary, labelCandidates } from "./label-candidates.ts";

export type PipelinePorts = {
  syntax: Syntax;
  judge: Judge;
  generator: Generator;
  trainer: Trainer;
  files: Files;
  openModel(bundle: string): Promise<RewardModel>;
  cache: <Value>(path: string) => RowCache<Value>;
  log: Log;
};

export type PipelineOptions = {
  problems: string;
  out: string;
  n: number;
  prompt: PromptStyle;
  temperature: number;
  trials: TrialRule;
  size: string;
  seed: number;
  limit: number | null;
  slots: number;
  onStage(stage: "generate" | "label" | "train" | "evaluate", line: string): void;
};

export type PipelineResult = {
  generate: GenerateSummary;
  label: LabelSummary;
  train: { bundle: string; training: number; meta: number; validation: number };
  evaluate: EvaluationReport;
};

export async function runPipeline(
  ports: PipelinePorts,
  options: PipelineOptions,
  signal?: AbortSignal,
): Promise<PipelineResult> {
  const { files, syntax, judge } = ports;
  const { out, n, prompt, temperature, trials, seed, limit, slots, onStage } = options;
  const stage = (name: Parameters<typeof onStage>[0]) => (count: number) => onStage(name, `${count} problems`);
  const generated = { input: options.problems, out: `${out}/generate` };
  const generate = await generateCandidates(
    generated,
    ports.generator,
    syntax,
    files,
    ports.cache<Sample>(`${out}/cache/samples.jsonl`),
    { n, prompt, temperature, seed, limit, onProgress: stage("generate") },
    signal,
  );
  const labelled = { input: `${generated.out}/candidates.jsonl`, out: `${out}/label` };
  const label = await labelCandidates(
    labelled,
    judge,
    syntax,
    files,
    { trials, seed, limit: null, slots, llm: null, onProgress: stage("label") },
    signal,
  );
  const set = `${labelled.out}/labelled.jsonl`;
  const data = `${out}/data`;
  const card = await buildDataset({ sets: [set], out: data, limit: null }, files, syntax, ports.log);
  const { bundle } = await ports.trainer.train(
    {
      data,
      run: `${out}/train`,
      bundle: `${out}/bundle`,
      size: options.size,
      name: "pipeline",
      version: "0.0.1",
      unlicensed: true,
    },
    (line) => onStage("train", line),
    signal,
  );
  const model = await ports.openModel(bundle);
  try {
    const evaluate = await evaluateSets(
      [{ name: "pipeline", problems: files.candidateSet(set) }],
      {
        syntax,
        model,
        second: null,
        judge,
        rewards: ports.cache<Reward>(`${out}/cache/rewards-${model.info.sha256.slice(0, 12)}.jsonl`),
        evidence: ports.cache<Evidence>(`${out}/cache/evidence.jsonl`),
      },
      {
        n: [1, 2, 4, 8].filter((one) => one <= n),
        reportN: Math.min(4, n),
        seed,
        // Groups that the toy model was trained on are in it: this stage shows that it runs.
        split: "all",
        within: "model",
        granularities: ["function"],
        limit: null,
        slots,
        onProgress: ({ problems }) => onStage("evaluate", `${problems} problems`),
      },
      signal,
    );
    const { training, meta, validation } = card.splits;
    return {
      generate,
      label,
      train: { bundle, training: training.rows, meta: meta.rows, validation: validation.rows },
      evaluate,
    };
  } finally {
    await model.dispose();
  }
}
