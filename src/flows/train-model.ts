/**
 * Snapshot → challenger → gate → the active version, or a refusal with both sets of numbers (architecture.md, "How one
 * outcome flows back"). A stopped training goes on; the same snapshot on the same champion is one challenger.
 */
import type { TrainingRow } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import type { GateDecision, ModelVersion } from "../domain/model-version.ts";
import type { Files, LearningStore, Log, ModelRegistry, Tuner } from "../ports.ts";
import { type GatePorts, type HeldOut, throughGate } from "./promote-model.ts";
import { writeRehearsal } from "./rehearse.ts";

export type TrainPorts = GatePorts & {
  registry: ModelRegistry;
  learning: LearningStore;
  /** Fits the calibrations again on the labels there are; how many it looked at. */
  refit(): Promise<number>;
  tuner: Tuner;
  files: Files;
  log: Log;
  /** Folder of the bundle that ships with the program: what a version without a folder of its own means. */
  embedded: string;
};

type TrainOptions = {
  /** Folder with training, meta and validation rows. */
  snapshot: string;
  /** Where runs and bundles go. */
  learning: string;
  epochs: number;
  seed: number;
  /** Null leaves a promoted challenger waiting for `funprm models promote`. */
  by: string | null;
  onLine(line: string): void;
};

/** `run`: folder of the training run, with its metrics and its correction table. */
export type TrainResult = { version: ModelVersion; decision: GateDecision; active: boolean; run: string };

export async function trainModel(ports: TrainPorts, options: TrainOptions, signal?: AbortSignal): Promise<TrainResult> {
  // Calibration needs no trainer: it follows the labels in any case.
  await ports.refit();
  const lacks = await ports.tuner.missing();
  if (lacks !== null) throw new FunprmError("TRAINING_FAILED", `labels are kept, and no model was trained: ${lacks}`);
  const champion = await activeVersion(ports);
  const snapshot = await snapshotHash(options.snapshot, ports.files);
  const key = sha256(JSON.stringify([snapshot, champion.sha256, options.epochs, options.seed])).slice(0, 16);
  const folder = `${options.learning}/models/${key}`;
  const learned = (await ports.registry.versions()).filter((one) => one.folder !== folder && one.base !== null);
  const version = `${champion.version.split("+")[0]}+${learned.length + 1}`;
  const run = `${options.learning}/runs/${key}`;
  const rehearsal = `${options.learning}/runs/${key}.rehearsal.jsonl.gz`;
  const rehearsed = await writeRehearsal(ports, options.snapshot, rehearsal);
  try {
    await ports.tuner.tune(
      {
        base: champion.folder ?? ports.embedded,
        data: options.snapshot,
        rehearsal: rehearsed === 0 ? null : rehearsal,
        run,
        bundle: folder,
        name: champion.name,
        version,
        epochs: options.epochs,
        seed: options.seed,
      },
      options.onLine,
      signal,
    );
  } finally {
    // It holds people's code, and no forgetting looks for it here; a training that goes on writes it anew.
    await ports.files.remove(rehearsal);
  }
  const facts = JSON.parse(await ports.files.text(`${folder}/manifest.json`)) as Record<string, unknown>;
  const challenger = await ports.registry.register({
    name: champion.name,
    version: String(facts["version"]),
    sha256: String(facts["modelSha256"]),
    renderVersion: String(facts["renderVersion"]),
    attention: champion.attention,
    maxTokens: Number(facts["maxTokens"]),
    folder,
    base: champion.sha256,
    snapshot,
  });
  const decision = await throughGate(ports, champion, challenger, await heldOut(options.snapshot, ports.files), signal);
  const judged = await ports.registry.register({ ...challenger, decision });
  const active = decision.verdict === "promoted" && options.by !== null;
  if (active) await ports.registry.activate(judged.sha256, { by: options.by!, reason: reasonOf(decision) });
  ports.log.info("a challenger went through the gate", {
    challenger: judged.version,
    verdict: decision.verdict,
    active,
  });
  return { version: judged, decision, active, run };
}

/** What scores now. The bundle that ships with the program is registered, and switched to, when it is first asked for. */
export async function activeVersion(ports: Pick<TrainPorts, "registry" | "open">): Promise<ModelVersion> {
  const active = await ports.registry.active();
  if (active !== null) return active;
  const model = await ports.open({ folder: null });
  const { info } = model;
  await model.dispose();
  const version = await ports.registry.register({ ...info, folder: null, base: null, snapshot: null });
  await ports.registry.activate(version.sha256, { by: "funprm", reason: "ships with the program" });
  return version;
}

/** One line: what rose. */
function reasonOf({ checks }: GateDecision): string {
  const auc = checks.find((check) => check.name === "within-problem AUC")?.figure;
  return auc
    ? `within-problem AUC ${auc.champion.toFixed(3)} → ${auc.challenger.toFixed(3)} [${auc.difference.ci.map((one) => one.toFixed(3)).join(", ")}]`
    : "the gate's checks held";
}

const SPLITS = ["training", "meta", "validation"] as const;

/** Of the rows themselves: a snapshot that was copied elsewhere is the same. */
async function snapshotHash(folder: string, files: Files): Promise<string> {
  const hashes: string[] = [];
  for (const split of SPLITS) {
    const rows: string[] = [];
    for await (const row of files.trainingRows(`${folder}/${split}.jsonl.gz`)) rows.push(JSON.stringify(row));
    hashes.push(sha256(rows.join("\n")));
  }
  return sha256(hashes.join("\n"));
}

export async function heldOut(folder: string, files: Files): Promise<HeldOut> {
  const rowsOf = async (split: (typeof SPLITS)[number]) => {
    const rows: TrainingRow[] = [];
    for await (const row of files.trainingRows(`${folder}/${split}.jsonl.gz`)) rows.push(row);
    return rows;
  };
  const validation = await rowsOf("validation");
  return {
    validation,
    meta: await rowsOf("meta"),
    hash: sha256(validation.map((row) => JSON.stringify(row)).join("\n")),
  };
}
