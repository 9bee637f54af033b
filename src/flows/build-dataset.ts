/** Candidate sets → training, meta and validation rows with a card that says what is in them (rulings 1–4). */
import {
  type CandidateSetProblem,
  candidateRow,
  emptyPrefixRows,
  heldOut,
  labelSharedPrefixes,
  languageOf,
  type SetCandidate,
  type SharedPrefixes,
  SPLITS,
  type Split,
  splitOf,
  type TrainingRow,
} from "../domain/dataset.ts";
import { FunprmError } from "../domain/errors.ts";
import { sha256 } from "../domain/ids.ts";
import { RENDER_VERSION, type RenderVersion, renderPrompt, renderSteps } from "../domain/render.ts";
import { segment } from "../domain/segment.ts";
import type { Files, Log, Syntax, WrittenFile } from "../ports.ts";

export type BuildDatasetRequest = {
  /** Candidate set files. Their order does not matter. */
  sets: string[];
  out: string;
  /** Problems of each file; null for all. */
  limit: number | null;
  renderVersion?: RenderVersion;
};

type SetCounts = {
  problems: number;
  candidates: number;
  rows: number;
  emptyPrefixRows: number;
  multiStepRows: number;
  notParsed: number;
  /** Candidates left out, by reason. */
  skipped: { unlabelled: number; language: number; duplicate: number };
  /** Equal programs of one group with different verdicts: the failing one is kept. */
  conflicts: number;
  licences: string[];
};

type SplitCounts = {
  file: WrittenFile;
  groups: number;
  /** Hex SHA-256 of the sorted group names, one a line. */
  groupsSha256: string;
  rows: number;
  emptyPrefixRows: number;
  multiStepRows: number;
  bySet: Record<string, number>;
  bySource: Record<string, number>;
  /** Share of 1 among clean last-step labels. */
  passRate: number | null;
};

export type DatasetCard = {
  renderVersion: string;
  languages: string[];
  limit: number | null;
  sharedPrefixes: SharedPrefixes;
  sets: Record<string, SetCounts>;
  splits: Record<Split, SplitCounts>;
};

/** What a training row is filed under while sets are still read: its set is not part of the row. */
type Kept = { row: TrainingRow; set: string; parsed: boolean };

export async function buildDataset(
  request: BuildDatasetRequest,
  files: Files,
  syntax: Syntax,
  log: Log,
): Promise<DatasetCard> {
  const renderVersion = request.renderVersion ?? RENDER_VERSION;
  const kept = new Map<string, Kept>();
  const emptyPrefixes: Kept[] = [];
  const sets = new Map<string, SetCounts>();

  for (const path of request.sets.toSorted()) {
    let taken = 0;
    for await (const problem of files.candidateSet(path)) {
      if (request.limit !== null && taken >= request.limit) break;
      taken += 1;
      const counts = countsOf(sets, problem);
      if (languageOf(problem) !== "python") {
        counts.skipped.language += problem.candidates.length;
        continue;
      }
      const context = { prompt: renderPrompt(problem.prompt, problem.context), renderVersion };
      for (const row of emptyPrefixRows(problem, context)) {
        counts.emptyPrefixRows += 1;
        emptyPrefixes.push({ row, set: problem.set, parsed: true });
      }
      for (const candidate of problem.candidates) {
        if (candidate.passed === null) {
          counts.skipped.unlabelled += 1;
          continue;
        }
        keep(kept, sets, rowOf(problem, { ...candidate, passed: candidate.passed }, context, renderVersion, syntax));
      }
    }
    log.info("read", { set: path, problems: taken, rows: kept.size });
  }
  if (kept.size === 0)
    throw new FunprmError("BAD_INPUT", "no labelled Python candidate in these sets; give candidate sets with `passed`");

  for (const { row, set, parsed } of kept.values()) {
    const counts = sets.get(set)!;
    counts.rows += 1;
    if (row.completions.length > 1) counts.multiStepRows += 1;
    if (!parsed) counts.notParsed += 1;
  }
  const sharedPrefixes = labelSharedPrefixes([...kept.values()].map(({ row }) => row));
  const splits = {} as Record<Split, SplitCounts>;
  for (const split of SPLITS) {
    const rows = [...kept.values(), ...emptyPrefixes]
      .filter(({ row }) => splitOf(row.group) === split)
      .map((one) => (split === "training" ? one : { ...one, row: heldOut(one.row) }))
      .sort(byGroupThenId);
    splits[split] = await writeSplit(files, `${request.out}/${split}.jsonl.gz`, rows);
    log.info("written", { split, rows: rows.length, path: splits[split].file.path });
  }
  assertDisjoint([...kept.values()]);
  const card: DatasetCard = {
    renderVersion,
    languages: ["python"],
    limit: request.limit,
    sharedPrefixes,
    sets: Object.fromEntries([...sets].sort(([a], [b]) => (a < b ? -1 : 1))),
    splits,
  };
  await files.writeText(`${request.out}/card.md`, cardPage(card));
  // Last: a folder with card.json is a complete data set.
  await files.writeText(`${request.out}/card.json`, `${JSON.stringify(card, null, 2)}\n`);
  return card;
}

function countsOf(sets: Map<string, SetCounts>, problem: CandidateSetProblem): SetCounts {
  let counts = sets.get(problem.set);
  if (counts === undefined) {
    counts = {
      problems: 0,
      candidates: 0,
      rows: 0,
      emptyPrefixRows: 0,
      multiStepRows: 0,
      notParsed: 0,
      skipped: { unlabelled: 0, language: 0, duplicate: 0 },
      conflicts: 0,
      licences: [],
    };
    sets.set(problem.set, counts);
  }
  counts.problems += 1;
  counts.candidates += problem.candidates.length;
  const licence = problem.license ?? "not stated";
  if (!counts.licences.includes(licence)) counts.licences.push(licence);
  return counts;
}

function rowOf(
  problem: CandidateSetProblem,
  candidate: SetCandidate & { passed: boolean },
  context: { prompt: string; renderVersion: string },
  renderVersion: RenderVersion,
  syntax: Syntax,
): Kept {
  const outline = syntax.outline(candidate.code, "python");
  const file = segment(
    { text: candidate.code, encoding: "utf-8", bytes: Buffer.byteLength(candidate.code) },
    outline,
    null,
  );
  const texts = renderSteps(file, outline, renderVersion);
  const steps = file.steps.map((step, index) => ({
    name: step.name,
    simpleName: step.simpleName,
    text: texts[index]!,
  }));
  return { row: candidateRow(problem, candidate, steps, context), set: problem.set, parsed: file.parsed };
}

/** One row per rendered program of a group. */
function keep(kept: Map<string, Kept>, sets: Map<string, SetCounts>, candidate: Kept): void {
  const key = sha256([candidate.row.group, ...candidate.row.completions].join("\0"));
  const earlier = kept.get(key);
  if (earlier === undefined) {
    kept.set(key, candidate);
    return;
  }
  const verdict = (of: Kept) => of.row.labels.at(-1)!;
  if (verdict(candidate) !== verdict(earlier)) sets.get(candidate.set)!.conflicts += 1;
  if (verdict(candidate) < verdict(earlier)) {
    sets.get(earlier.set)!.skipped.duplicate += 1;
    kept.set(key, candidate);
  } else {
    sets.get(candidate.set)!.skipped.duplicate += 1;
  }
}

function byGroupThenId(a: Kept, b: Kept): number {
  if (a.row.group !== b.row.group) return a.row.group < b.row.group ? -1 : 1;
  return a.row.id < b.row.id ? -1 : a.row.id > b.row.id ? 1 : 0;
}

async function writeSplit(files: Files, path: string, rows: Kept[]): Promise<SplitCounts> {
  const file = await files.writeRows(
    path,
    rows.map(({ row }) => row),
  );
  const groups = [...new Set(rows.map(({ row }) => row.group))].sort();
  const bySet: Record<string, number> = {};
  const bySource: Record<string, number> = {};
  const verdicts: number[] = [];
  for (const { row, set } of rows) {
    bySet[set] = (bySet[set] ?? 0) + 1;
    for (const source of row.source) if (source !== null) bySource[source] = (bySource[source] ?? 0) + 1;
    if (row.source.at(-1) === "unit_test") verdicts.push(row.labels.at(-1)!);
  }
  return {
    file: { ...file, path: path.slice(path.lastIndexOf("/") + 1) },
    groups: groups.length,
    groupsSha256: sha256(groups.join("\n")),
    rows: rows.length,
    emptyPrefixRows: rows.filter(
      ({ row }) => row.completions.length === 1 && row.completions[0] === "" && row.source[0] === "monte_carlo",
    ).length,
    multiStepRows: rows.filter(({ row }) => row.completions.length > 1).length,
    bySet: sorted(bySet),
    bySource: sorted(bySource),
    passRate: verdicts.length === 0 ? null : verdicts.reduce((sum, verdict) => sum + verdict, 0) / verdicts.length,
  };
}

function sorted(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A problem that stands in two splits under one group would make every claim on validation worthless. */
function assertDisjoint(rows: readonly Kept[]): void {
  const split = new Map<string, Split>();
  for (const { row, set } of rows) {
    const key = `${set}/${row.problem}`;
    const seen = split.get(key);
    const here = splitOf(row.group);
    if (seen !== undefined && seen !== here)
      throw new FunprmError("BAD_INPUT", `problem ${key} has rows in ${seen} and ${here}: give it one group`);
    split.set(key, here);
  }
}

function cardPage(card: DatasetCard): string {
  const share = (part: number, whole: number) => (whole === 0 ? "n/a" : `${((100 * part) / whole).toFixed(1)} %`);
  const lines = [
    "# Training data",
    "",
    `Render version ${card.renderVersion}; languages: ${card.languages.join(", ")}; limit: ${card.limit ?? "none"}. Split by group: 70 % training, 10 % meta, 20 % validation.`,
    "",
    `Prefixes that several programs of a group begin with: ${card.sharedPrefixes.two} shared by two or more; ${card.sharedPrefixes.four} by four or more, whose verdicts label them.`,
    "",
    "| split | groups | rows | of these empty prefix | two steps or more | pass rate | labels by source |",
    "|---|---|---|---|---|---|---|",
    ...SPLITS.map((name) => {
      const split = card.splits[name];
      const sources = Object.entries(split.bySource).map(([source, count]) => `${source} ${count}`);
      return `| ${name} | ${split.groups} | ${split.rows} | ${split.emptyPrefixRows} | ${share(split.multiStepRows, split.rows - split.emptyPrefixRows)} | ${split.passRate?.toFixed(3) ?? "n/a"} | ${sources.join(", ")} |`;
    }),
    "",
    "| set | problems | candidates | rows | two steps or more | not parsed | unlabelled | other language | duplicates | conflicts | licence |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    ...Object.entries(card.sets).map(
      ([name, set]) =>
        `| ${name} | ${set.problems} | ${set.candidates} | ${set.rows} | ${share(set.multiStepRows, set.rows)} | ${set.notParsed} | ${set.skipped.unlabelled} | ${set.skipped.language} | ${set.skipped.duplicate} | ${set.conflicts} | ${set.licences.join("; ")} |`,
    ),
    "",
  ];
  return lines.join("\n");
}
