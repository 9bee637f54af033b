/** Without being asked: enough new labels of grade A or B become a snapshot, a challenger and a decision of the gate. */
import { FunprmError } from "../domain/errors.ts";
import { buildSnapshot, diffSnapshots, LABELS_AN_ACTOR } from "./build-snapshot.ts";
import { type TrainPorts, type TrainResult, trainModel } from "./train-model.ts";

/** Rows that the newest snapshot a model was trained on does not hold (product.md 3.7, `min_labels`). */
const NEW_LABELS = 100;
const EPOCHS = 8;

/** Null when there is too little new, or nothing to train with: then the log says what is missing. */
export async function retrainWhenDue(
  ports: TrainPorts,
  learning: string,
  signal?: AbortSignal,
): Promise<TrainResult | null> {
  const snapshots = `${learning}/snapshots`;
  const card = await buildSnapshot(ports, {
    out: snapshots,
    perActor: LABELS_AN_ACTOR,
    without: [],
    repositoryId: null,
  }).catch((error) => {
    if (error instanceof FunprmError && error.code === "BAD_INPUT") return null;
    throw error;
  });
  if (card === null) return null;
  const trained = (await ports.registry.versions()).filter((one) => one.snapshot !== null).at(-1);
  const added =
    trained === undefined
      ? Object.values(card.splits).reduce((sum, split) => sum + split.rows, 0)
      : // A snapshot that was cleared away counts as none: everything is new.
        await diffSnapshots(ports.files, `${snapshots}/${trained.snapshot!.slice(0, 16)}`, card.folder).then(
          (difference) => difference.added + difference.relabelled,
          () => NEW_LABELS,
        );
  if (added < NEW_LABELS) return null;
  const lacks = await ports.tuner.missing();
  if (lacks !== null) {
    ports.log.warn("enough new labels to train on, and nothing to train with", { added, missing: lacks });
    return null;
  }
  ports.log.info("training on new labels", { added, snapshot: card.sha256.slice(0, 12) });
  return await trainModel(
    ports,
    {
      snapshot: card.folder,
      learning,
      epochs: EPOCHS,
      seed: 0,
      by: "gate",
      onLine: (line) => ports.log.info("training", { line }),
    },
    signal,
  );
}
