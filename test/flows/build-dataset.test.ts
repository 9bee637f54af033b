import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { type CandidateSetProblem, SPLITS, splitOf, type TrainingRow } from "../../src/domain/dataset.ts";
import { buildDataset, type DatasetCard } from "../../src/flows/build-dataset.ts";
import type { Log } from "../../src/ports.ts";

const silent = () => {};
const log: Log = { debug: silent, info: silent, warn: silent, error: silent };
const files = createFiles();

type Candidate = CandidateSetProblem["candidates"][number];
const problem = (set: string, group: string, candidates: Partial<Candidate>[]) => ({
  set,
  problem_id: `${group}-p`,
  group,
  prompt: `Statement of ${group}`,
  entry_point: null,
  io: "call",
  tests: null,
  license: "MIT",
  candidates: candidates.map((candidate, at) => ({
    id: `${group}#${at}`,
    model: "m",
    code: "",
    passed: true,
    ...candidate,
  })),
});

const TWO = "def f(x):\n    return g(x)\n\ndef g(x):\n    return x\n";
const groups = Array.from({ length: 60 }, (_, at) => `group-${at}`);
const first = groups.map((group) =>
  problem("alpha", group, [
    { code: TWO, passed: true },
    { code: `# the same program\n${TWO}`, passed: true },
    { code: "def f(x):\n    return 1\n", passed: false },
    { code: "def f(x:\n", passed: false },
    { code: "", passed: null },
  ]),
);
const second = [
  problem("beta", "group-0", [{ code: TWO, passed: false }]),
  problem("gamma_java", "group-1", [{ code: "class A {}" }]),
];

let folder: string;
let card: DatasetCard;
const rows: Record<string, TrainingRow[]> = {};
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-dataset-"));
  await files.writeRows(join(folder, "alpha.jsonl.gz"), first);
  await files.writeRows(join(folder, "beta.jsonl"), second);
  const syntax = await createSyntax();
  const request = { sets: [join(folder, "beta.jsonl"), join(folder, "alpha.jsonl.gz")], limit: null };
  card = await buildDataset({ ...request, out: join(folder, "out") }, files, syntax, log);
  await buildDataset({ ...request, sets: request.sets.toReversed(), out: join(folder, "again") }, files, syntax, log);
  for (const split of SPLITS) {
    rows[split] = [];
    for await (const row of files.trainingRows(join(folder, "out", `${split}.jsonl.gz`))) rows[split].push(row);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("dataset build", () => {
  test("every group stands in its own split, whatever the set", () => {
    for (const split of SPLITS) for (const row of rows[split]!) expect(splitOf(row.group)).toBe(split);
    expect(SPLITS.every((split) => rows[split]!.length > 0)).toBe(true);
  });

  test("equal programs of a group are one row, and of two verdicts the failing one stays", () => {
    const all = Object.values(rows).flat();
    const programs = all.filter((row) => row.group === "group-0" && row.completions.length === 2);
    expect(programs.map((row) => [row.id, row.labels])).toEqual([["beta/group-0#0", [0, 0]]]);
    expect(card.sets["beta"]!.conflicts + card.sets["alpha"]!.conflicts).toBe(1);
    expect(all.filter((row) => row.group === "group-2" && row.completions.length === 2)).toHaveLength(1);
  });

  test("nothing is lost without a count", () => {
    for (const set of Object.values(card.sets)) {
      const { unlabelled, language, duplicate } = set.skipped;
      expect(set.rows + unlabelled + language + duplicate).toBe(set.candidates);
    }
    expect(card.sets["gamma_java"]).toMatchObject({ rows: 0, skipped: { language: 1 } });
    expect(card.sets["alpha"]).toMatchObject({ notParsed: 60, licences: ["MIT"] });
    expect(Object.values(card.splits).reduce((sum, split) => sum + split.rows, 0)).toBe(
      Object.values(rows).flat().length,
    );
  });

  test("no text names the problem, the model or the step", () => {
    for (const row of Object.values(rows).flat()) {
      const text = [row.prompt.replace(`Statement of ${row.group}`, ""), ...row.completions].join("\n");
      for (const name of [row.id, row.problem, row.group, "alpha", "beta"]) expect(text).not.toContain(name);
    }
  });

  test("the order of the sets does not change a byte", () => {
    for (const name of ["training.jsonl.gz", "meta.jsonl.gz", "validation.jsonl.gz", "card.json", "card.md"])
      expect(readFileSync(join(folder, "again", name)).equals(readFileSync(join(folder, "out", name))), name).toBe(
        true,
      );
  });

  test("sets without a labelled program are refused", async () => {
    await files.writeRows(join(folder, "none.jsonl"), [problem("none", "g", [{ passed: null }])]);
    const request = { sets: [join(folder, "none.jsonl")], out: join(folder, "none"), limit: null };
    await expect(buildDataset(request, files, await createSyntax(), log)).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});
