/**
 * Labels of the log → TrainingSet, MetaSet, ValidationSet: files that never change, in a folder named by their content, with
 * a card that says what is in them (issue H item 4).
 */
import { SPLITS, type Split, type TrainingRow } from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import { type LearntPull, type LearntRow, type LearntRows, learntRows } from "../domain/learning-rows.ts";
import { RENDER_VERSION } from "../domain/render.ts";
import type { Clock, Files, LearningStore } from "../ports.ts";
import type { Forgetful } from "./housekeeping.ts";

export type SnapshotRequest = {
  /** Folder that snapshots stand in. */
  out: string;
  perActor: number;
  without: readonly string[];
  /** One repository, or null for all. */
  repositoryId: number | null;
};

/** Labels of one person that a snapshot holds at most: nobody outweighs a team (security.md section 4, poisoned labels). */
export const LABELS_AN_ACTOR = 200;

type Counts = Record<string, number>;

export type SnapshotSplit = {
  rows: number;
  problems: number;
  groups: number;
  repositories: number;
  byGrade: Counts;
  byLanguage: Counts;
  bySource: Counts;
  /** Last-step labels: wrong and right. */
  byLabel: Counts;
  /** Most labels that one person decided. */
  mostOfOneActor: number;
};

export type SnapshotCard = {
  kind: "outcomes";
  /** Hex SHA-256 over the three row files: the snapshot's name. */
  sha256: string;
  folder: string;
  renderVersion: string;
  perActor: number;
  /** How many people were left out by name. */
  without: number;
  repositories: number[];
  splits: Record<Split, SnapshotSplit>;
  /** Labels of the log by grade, before any was left out. */
  labels: Counts;
  left: Counts;
};

/** Every pull request of the log with its texts. */
export async function learntPulls(learning: LearningStore, repositoryId: number | null): Promise<LearntPull[]> {
  const keys = await learning.pullRequests(repositoryId === null ? {} : { repositoryId });
  const pulls: LearntPull[] = [];
  for (const key of keys)
    pulls.push({
      repositoryId: key.repositoryId,
      pullRequest: key.pullRequest,
      events: await learning.events(key.repositoryId, key.pullRequest),
      texts: await learning.texts(key.repositoryId, key.pullRequest),
    });
  return pulls;
}

/** The same log gives the same folder with the same bytes. `BAD_INPUT` when the log holds no label to train on. */
export async function buildSnapshot(
  { learning, files, clock }: { learning: LearningStore; files: Files; clock: Clock },
  request: SnapshotRequest,
): Promise<SnapshotCard> {
  const found = learntRows(await learntPulls(learning, request.repositoryId), {
    now: clock.now().getTime(),
    perActor: request.perActor,
    without: request.without,
  });
  const all = SPLITS.flatMap((split) => found.splits[split]);
  if (all.length === 0)
    throw new FunprmError(
      "BAD_INPUT",
      `no label of grade A or B is in the log (${
        Object.entries(found.labels)
          .map(([grade, n]) => `${n} ${grade}`)
          .join(", ") || "it is empty"
      }); labels come with merged pull requests`,
    );
  const name = sha256(SPLITS.map((split) => hashOf(found.splits[split])).join("\n"));
  const folder = `${request.out}/${name.slice(0, 16)}`;
  for (const split of SPLITS)
    await files.writeRows(
      `${folder}/${split}.jsonl.gz`,
      found.splits[split].map(({ row }) => row),
    );
  const card: SnapshotCard = {
    kind: "outcomes",
    sha256: name,
    folder,
    renderVersion: RENDER_VERSION,
    perActor: request.perActor,
    without: request.without.length,
    repositories: [...new Set(all.map((one) => one.repositoryId))].sort((a, b) => a - b),
    splits: {
      training: countsOf(found.splits.training),
      meta: countsOf(found.splits.meta),
      validation: countsOf(found.splits.validation),
    },
    labels: found.labels,
    left: found.left,
  };
  await files.writeText(`${folder}/card.json`, `${JSON.stringify({ ...card, folder: "." }, null, 2)}\n`);
  await files.writeText(`${folder}/card.md`, snapshotText(card));
  return card;
}

export async function readSnapshot(files: Files, folder: string): Promise<SnapshotCard> {
  const card = JSON.parse(await files.text(`${folder}/card.json`)) as SnapshotCard;
  if (card.kind !== "outcomes")
    throw new FunprmError(
      "BAD_INPUT",
      `${folder}/card.json: not a snapshot of labels; funprm dataset build --labels makes one`,
    );
  return { ...card, folder };
}

export type SnapshotDifference = {
  added: number;
  removed: number;
  /** Rows of both whose last label, or whose split, differs. */
  relabelled: number;
  moved: number;
  same: number;
};

export async function diffSnapshots(files: Files, one: string, other: string): Promise<SnapshotDifference> {
  const [before, after] = [await snapshotRows(files, one), await snapshotRows(files, other)];
  const difference = { added: 0, removed: 0, relabelled: 0, moved: 0, same: 0 };
  for (const [id, now] of after) {
    const then = before.get(id);
    if (then === undefined) difference.added += 1;
    else if (then.row.labels.at(-1) !== now.row.labels.at(-1)) difference.relabelled += 1;
    else if (then.split !== now.split) difference.moved += 1;
    else difference.same += 1;
  }
  difference.removed = [...before.keys()].filter((id) => !after.has(id)).length;
  return difference;
}

/** Folder, below that of all learning, which snapshots stand in and are forgotten from. */
export const SNAPSHOTS = "snapshots";

/**
 * Forgets as a store does: snapshots that hold rows of the installation, or of its repository, go with it, whole, for their
 * name is the hash of every row; the next one is built of what is left. So do those of a repository that the log no longer
 * knows: a snapshot may be written while its facts go.
 */
export function snapshotStore(
  { learning, files }: { learning: LearningStore; files: Files },
  folder: string,
): Forgetful {
  return {
    deleteInstallation: async (installationId, repositoryId) => {
      const stay = new Set(
        (await learning.repositories())
          .filter(
            (ref) => ref.installationId !== installationId || ref.repositoryId !== (repositoryId ?? ref.repositoryId),
          )
          .map((ref) => ref.repositoryId),
      );
      for (const name of await files.folders(folder)) {
        const card = await readSnapshot(files, `${folder}/${name}`);
        if (!card.repositories.every((id) => stay.has(id))) await files.remove(`${folder}/${name}`);
      }
    },
  };
}

/** All rows of a snapshot by id. */
export async function snapshotRows(
  files: Files,
  folder: string,
): Promise<Map<string, { row: TrainingRow; split: Split }>> {
  const rows = new Map<string, { row: TrainingRow; split: Split }>();
  for (const split of SPLITS)
    for await (const row of files.trainingRows(`${folder}/${split}.jsonl.gz`)) rows.set(row.id, { row, split });
  return rows;
}

function hashOf(rows: LearntRows["splits"][Split]): string {
  return sha256(rows.map(({ row }) => JSON.stringify(row)).join("\n"));
}

function countsOf(rows: readonly LearntRow[]): SnapshotSplit {
  const by = (keyOf: (one: LearntRow) => string): Counts =>
    Object.fromEntries(
      [...Map.groupBy(rows, keyOf)]
        .map(([key, group]) => [key, group.length] as const)
        .sort((a, b) => (a[0] < b[0] ? -1 : 1)),
    );
  const distinct = (keyOf: (one: LearntRow) => unknown) => new Set(rows.map(keyOf)).size;
  return {
    rows: rows.length,
    problems: distinct(({ row }) => row.problem),
    groups: distinct(({ row }) => row.group),
    repositories: distinct((one) => one.repositoryId),
    byGrade: by((one) => one.grade),
    byLanguage: by(({ row }) => row.language),
    bySource: by(({ row }) => row.source.at(-1) ?? "none"),
    byLabel: by(({ row }) => (row.labels.at(-1) === 1 ? "right" : "wrong")),
    mostOfOneActor: Math.max(0, ...Object.values(by((one) => one.actor))),
  };
}

/** The card for people. */
export function snapshotText(card: SnapshotCard): string {
  const line = (counts: Counts) =>
    Object.entries(counts)
      .map(([key, n]) => `${key} ${n}`)
      .join(", ") || "none";
  const rows = SPLITS.map((split) => {
    const one = card.splits[split];
    return `| ${split} | ${one.rows} | ${one.problems} | ${one.groups} | ${one.repositories} | ${line(one.byLabel)} | ${line(one.byGrade)} | ${line(one.byLanguage)} | ${line(one.bySource)} |`;
  });
  return `# Snapshot ${card.sha256.slice(0, 16)}

Labels of merged pull requests, rendered by ${card.renderVersion}. Groups are a repository's weeks: no problem, week or text
stands in two sets. At most ${card.perActor} labels of one person; ${card.without} people left out by name.

| Set | Rows | Problems | Weeks | Repositories | Last label | Grade | Language | Source |
|---|---|---|---|---|---|---|---|---|
${rows.join("\n")}

Labels of the log: ${line(card.labels)}.
Left out: ${line(card.left)}.
`;
}
