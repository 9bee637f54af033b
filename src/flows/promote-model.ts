/** A challenger against the champion on held-out rows: both score the same rows, the gate decides (issue H item 6). */
import { type Calibrator, fitPlatt } from "../domain/calibration.ts";
import type { TrainingRow } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import type { GateDecision, ModelVersion } from "../domain/model-version.ts";
import { aggregate, attribute } from "../domain/reward.ts";
import { type Contender, decide, type HeldOutRow } from "../evaluation/gate.ts";
import type { Clock, RewardModel } from "../ports.ts";

export type GatePorts = {
  /** Opens the bundle of a version, proving it by its hashes and parity rows. */
  open(version: Pick<ModelVersion, "folder">): Promise<RewardModel>;
  /** CPU time of this process so far. */
  cpuSeconds(): number;
  clock: Clock;
};

/** `meta` fits the calibrators and is no part of the measure; `hash` names the frozen validation set. */
export type HeldOut = { validation: readonly TrainingRow[]; meta: readonly TrainingRow[]; hash: string };

/** Rows a turn: both models score the same in turns, so that a busy machine slows both. */
const TURN = 32;
/** Clean labels of both signs below which a calibrator says nothing: scores then stand for themselves. */
const FEWEST_TO_CALIBRATE = 20;

export async function throughGate(
  ports: GatePorts,
  champion: ModelVersion,
  challenger: ModelVersion,
  heldOut: HeldOut,
  signal?: AbortSignal,
): Promise<GateDecision> {
  const facts = { validation: heldOut.hash, at: ports.clock.now().toISOString() };
  const nobody = (version: ModelVersion): Contender => ({ ...named(version), calibrators: new Map(), cpuSeconds: 0 });
  const standing = await ports.open(champion);
  try {
    const opened = await ports.open(challenger).catch((error) => {
      if (error instanceof FunprmError && error.kind === "user") return error;
      throw error;
    });
    if (opened instanceof FunprmError)
      return decide([], nobody(champion), nobody(challenger), {
        ...facts,
        parity: { ok: false, said: opened.message },
      });
    try {
      const models = { champion: standing, challenger: opened };
      const meta = await scored(models, ports, heldOut.meta.filter(isClean), signal);
      const validation = await scored(models, ports, heldOut.validation.filter(isClean), signal);
      const contender = (side: Side, version: ModelVersion): Contender => ({
        ...named(version),
        calibrators: calibrators(meta.rows, side),
        cpuSeconds: validation.cpuSeconds[side],
      });
      return decide(validation.rows, contender("champion", champion), contender("challenger", challenger), {
        ...facts,
        parity: { ok: true, said: `${opened.info.name} ${opened.info.version}: hashes and parity rows hold` },
      });
    } finally {
      await opened.dispose();
    }
  } finally {
    await standing.dispose();
  }
}

type Side = "champion" | "challenger";

const named = ({ name, version, sha256 }: ModelVersion) => ({ name, version, sha256 });

/** A last label that tests or an outcome gave: noisy labels judge no model. */
function isClean({ labels, source }: TrainingRow): boolean {
  return labels.at(-1) != null && (source.at(-1) === "outcome" || source.at(-1) === "unit_test");
}

async function scored(
  models: Readonly<Record<Side, RewardModel>>,
  ports: GatePorts,
  rows: readonly TrainingRow[],
  signal: AbortSignal | undefined,
): Promise<{ rows: HeldOutRow[]; cpuSeconds: Record<Side, number> }> {
  const cpuSeconds = { champion: 0, challenger: 0 };
  const found: HeldOutRow[] = [];
  for (let from = 0; from < rows.length; from += TURN) {
    const part = rows.slice(from, from + TURN);
    const of = async (side: Side) => {
      const before = ports.cpuSeconds();
      const results = await models[side].score(
        part.flatMap((row, at) => [
          { id: `${at}`, prompt: row.prompt, completions: row.completions },
          { id: `${at} empty`, prompt: row.prompt, completions: [""] },
        ]),
        signal,
      );
      cpuSeconds[side] += ports.cpuSeconds() - before;
      return part.map((_, at) => ({
        rewards: results[2 * at]!.rewards,
        attribution: attribute(results[2 * at + 1]!.rewards[0]!, results[2 * at]!.rewards),
      }));
    };
    const [champion, challenger] = [await of("champion"), await of("challenger")];
    for (const [at, row] of part.entries()) {
      const steps = row.own.flatMap((own, step) =>
        own === null
          ? []
          : [{ own, champion: champion[at]!.attribution[step]!, challenger: challenger[at]!.attribution[step]! }],
      );
      found.push({
        problem: row.problem,
        language: row.language,
        label: row.labels.at(-1)! >= 0.5 ? 1 : 0,
        champion: aggregate(champion[at]!.rewards, "mean"),
        challenger: aggregate(challenger[at]!.rewards, "mean"),
        steps,
      });
    }
  }
  return { rows: found, cpuSeconds };
}

function calibrators(rows: readonly HeldOutRow[], side: Side): Map<string, Calibrator> {
  const fitted = new Map<string, Calibrator>();
  for (const language of new Set(rows.map((row) => row.language))) {
    const labels = rows.flatMap((row) => {
      const score = row[side];
      return row.language === language && score !== null ? [{ score, correct: row.label === 1 }] : [];
    });
    if (labels.length >= FEWEST_TO_CALIBRATE && new Set(labels.map((one) => one.correct)).size === 2)
      fitted.set(language, fitPlatt(labels));
  }
  return fitted;
}
