/**
 * The whole loop on a synthetic organisation: facts of pull requests → labels → snapshot → training → gate, then both models
 * on functions that the organisation never had, where the truth is known (issue H, "Measured and tested").
 */
import { sha256 } from "../domain/ids.ts";
import type { ModelVersion, PairedFigure } from "../domain/model-version.ts";
import { FAMILY, heldBack, type KnownFunction } from "../evaluation/known-functions.ts";
import {
  flipped,
  type Organisation,
  type OrganisationSettings,
  type Pair,
  placeOf,
  type SimulatedPull,
  simulateOrganisation,
  unseenPairs,
} from "../evaluation/organisation.ts";
import { bootstrap } from "../evaluation/statistics.ts";
import type { Files, LearningStore, RewardModel } from "../ports.ts";
import { buildSnapshot, LABELS_AN_ACTOR, type SnapshotCard } from "./build-snapshot.ts";
import { activeVersion, type TrainPorts, type TrainResult, trainModel } from "./train-model.ts";

/** Of the functions, what the organisation never has. */
const UNSEEN = 0.3;
/** Longer functions cost time and teach the same. */
const MOST_CHARACTERS = 1_200;
/** Unseen functions that both models are asked for; 300 give a 95 % interval of some ±0.06. */
const MOST_UNSEEN = 300;

type MeasureOptions = {
  settings: OrganisationSettings;
  /** Who turns every outcome of their own pull requests round; null = nobody. */
  liar: string | null;
  /** Functions at most; those with a place for the family first. */
  functions: number;
  epochs: number;
  seed: number;
  learning: string;
  onLine(line: string): void;
};

export type LearningMeasure = {
  pulls: number;
  snapshot: SnapshotCard;
  before: ModelVersion;
  training: TrainResult;
  /** Within-problem AUC on unseen functions, right against wrong: the family, and all other kinds of error. */
  family: PairedFigure;
  others: PairedFigure;
  /** How far the noisy labels are from the truth, as collected → as trained on; null without any. */
  labels: LabelDistances | null;
  /** Instant of the simulated clock at which the labels were read. */
  end: number;
};

/**
 * Means over noisy labels, intervals over problems. `squared` and `logLoss` (labels cut to [.01, .99]) are proper: on average
 * least where a label says how likely right is. `absolute` is not: a label that is right nine times in ten does best by saying 1.
 */
type LabelDistances = { squared: PairedFigure; logLoss: PairedFigure; absolute: PairedFigure };

/** `ports.clock` must stand at a time after the organisation's last survival window when labels are read: `end` says it. */
export async function measureLearning(
  ports: TrainPorts,
  known: readonly KnownFunction[],
  options: MeasureOptions,
): Promise<LearningMeasure> {
  const short = known.filter((one) => one.text.length <= MOST_CHARACTERS);
  const { seen, unseen } = heldBack(short, UNSEEN);
  const prone = (functions: readonly KnownFunction[]) => functions.filter((one) => one.family.length > 0);
  const used = [...prone(seen), ...seen.filter((one) => one.family.length === 0)].slice(0, options.functions);
  const organisation = simulateOrganisation(used, options.settings);
  const { liar } = options;
  const told = liar === null ? organisation.pulls : organisation.pulls.map((pull) => flipped(pull, liar));
  await fill(ports.learning, told);
  options.onLine(`${organisation.pulls.length} pull requests of ${options.settings.repositories} repositories`);
  const clock = { ...ports.clock, now: () => new Date(organisation.end) };
  const snapshot = await buildSnapshot(
    { learning: ports.learning, files: ports.files, clock },
    { out: `${options.learning}/snapshots`, perActor: LABELS_AN_ACTOR, without: [], repositoryId: null },
  );
  const before = await activeVersion(ports);
  const training = await trainModel(ports, {
    snapshot: snapshot.folder,
    learning: options.learning,
    epochs: options.epochs,
    seed: options.seed,
    by: "gate",
    onLine: options.onLine,
  });
  const pairs = unseenPairs(prone(unseen).slice(0, MOST_UNSEEN));
  const [old, fresh] = [await ports.open(before), await ports.open(training.version)];
  try {
    const [then, now] = [await orders(old, pairs), await orders(fresh, pairs)];
    const figureOf = (isFamily: boolean) =>
      paired(
        pairs.flatMap((pair, at) =>
          (pair.kind === FAMILY) === isFamily ? [{ group: pair.function, before: then[at]!, after: now[at]! }] : [],
        ),
      );
    return {
      pulls: organisation.pulls.length,
      snapshot,
      before,
      training,
      family: figureOf(true),
      others: figureOf(false),
      labels: await labelDistances(ports.files, training.run, snapshot.folder, organisation.truth),
      end: organisation.end,
    };
  } finally {
    await old.dispose();
    await fresh.dispose();
  }
}

async function fill(learning: LearningStore, pulls: readonly SimulatedPull[]): Promise<void> {
  for (const pull of pulls) {
    const place = placeOf(pull);
    await learning.saveRepository({ ...place, owner: "synthetic", repo: `repository-${pull.repositoryId}` });
    await learning.append(place, pull.events);
    await learning.append({ ...place, pullRequest: null }, pull.repositoryEvents);
    await learning.saveTexts(place, pull.texts);
  }
}

/** Of each pair 1 where the right one has the higher reward, ½ where both are equal, else 0. */
async function orders(model: RewardModel, pairs: readonly Pair[]): Promise<number[]> {
  const scored = await model.score(
    pairs.flatMap(({ prompt, right, wrong }, at) => [
      { id: `${at} right`, prompt, completions: [right] },
      { id: `${at} wrong`, prompt, completions: [wrong] },
    ]),
  );
  return pairs.map((_, at) => {
    const [right, wrong] = [scored[2 * at]!.rewards[0] ?? -1, scored[2 * at + 1]!.rewards[0] ?? -1];
    return right > wrong ? 1 : right === wrong ? 0.5 : 0;
  });
}

function paired(rows: readonly { group: string; before: number; after: number }[]): PairedFigure {
  const mean = (of: (row: (typeof rows)[number]) => number) =>
    rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  const difference = bootstrap(
    rows.map((row) => ({ group: row.group, numerator: row.after - row.before, denominator: 1 })),
  );
  if (difference === null) throw new Error("no pair to measure on: the functions hold no place for the family");
  return {
    champion: mean((row) => row.before),
    challenger: mean((row) => row.after),
    difference: { value: difference.value, ci: difference.ci },
    count: rows.length,
  };
}

/** A label of 0 or 1 that is wrong would be infinitely far by its logarithm. */
const CUT = 0.01;

/** @param run folder with the `table.jsonl` of a training on `snapshot`. */
export async function labelDistances(
  files: Pick<Files, "text" | "trainingRows">,
  run: string,
  snapshot: string,
  truth: Organisation["truth"],
): Promise<LabelDistances | null> {
  const text = await files.text(`${run}/table.jsonl`).catch(() => "");
  const table = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { id: string; step: number; raw: number; corrected: number });
  const known = new Map<string, { problem: string; right: 0 | 1 }>();
  for await (const row of files.trainingRows(`${snapshot}/training.jsonl.gz`))
    for (const [step, completion] of row.completions.entries()) {
      const right = truth.get(sha256(completion))?.right;
      if (right !== undefined) known.set(`${row.id} ${step}`, { problem: row.problem, right });
    }
  const labels = table.flatMap(({ id, step, raw, corrected }) => {
    const found = known.get(`${id} ${step}`);
    return found === undefined ? [] : [{ ...found, raw, corrected }];
  });
  if (labels.length === 0) return null;
  const figure = (far: (label: number, right: 0 | 1) => number) =>
    paired(
      labels.map(({ problem, right, raw, corrected }) => ({
        group: problem,
        before: far(raw, right),
        after: far(corrected, right),
      })),
    );
  return {
    squared: figure((label, right) => (label - right) ** 2),
    logLoss: figure((label, right) => -Math.log(Math.min(Math.max(Math.abs(1 - right - label), CUT), 1 - CUT))),
    absolute: figure((label, right) => Math.abs(label - right)),
  };
}
