/** Whose runs say whom to believe: the same installation's, of the same writer and judge, finished, and no other. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import type { Candidate } from "../../src/domain/candidate.ts";
import type { ReproductionReport } from "../../src/domain/evidence.ts";
import type { Run } from "../../src/domain/run.ts";
import { pastWitnesses } from "../../src/flows/past-witnesses.ts";

let database: Awaited<ReturnType<typeof openDatabase>>;
beforeAll(async () => {
  database = await openDatabase({ path: ":memory:", now: () => new Date(), random: randomBytes });
});
afterAll(() => database.close());

const reproduction = (writer: string, kept: boolean[]) =>
  ({
    status: "ran",
    writer: { model: writer, origin: "llm" },
    tests: kept.map((one, t) => ({
      name: `t${t}`,
      source: "",
      kept: one,
      base: "",
      candidates: one ? { 0: "passed", 1: "failed" } : {},
    })),
  }) as unknown as ReproductionReport;

async function finished(issueNumber: number, change: Partial<Run>, installationId = 5): Promise<Run> {
  const { runs } = database;
  const { run } = await runs.openRun({
    repositoryId: installationId,
    installationId,
    owner: "o",
    repo: "r",
    issueNumber,
    trigger: { kind: "local" },
    startedBy: "ann",
  });
  for (const [index, status] of (["scored", "scored", "rejected"] as const).entries())
    await runs.saveCandidate({ runId: run.id, candidate: { index, status, score: 0.1 * index } as Candidate }, 0);
  return await runs.saveRun(run.id, { reproduction: reproduction("w", [true, true, false]), ...change }, 0);
}

test("the matrices of finished runs of the same installation and writer, and nobody else's", async () => {
  const at = { state: "opened", finishedAt: "2026-01-01T00:00:00.000Z" } as const;
  await finished(1, at);
  await finished(2, { ...at, reproduction: reproduction("another", [true, true]) });
  await finished(3, { ...at, reproduction: reproduction("w", [true, false]) });
  await finished(4, {});
  await finished(5, at, 6);
  const own = await finished(6, at);
  const judge = "llm-judge m";
  await finished(7, { ...at, reproduction: null, model: { name: judge } as Run["model"] });
  const groups = await pastWitnesses(database.runs, own, { writer: "w", judge: null });
  expect(groups).toEqual([
    {
      passes: [
        [true, true],
        [false, false],
      ],
      opinions: [null, null],
      prior: [0, 0],
    },
  ]);
  const judged = await pastWitnesses(database.runs, own, { writer: "w", judge });
  expect(judged.map(({ passes, opinions }) => [passes[0]!.length, opinions])).toEqual([
    [0, [0, 0.1]],
    [2, [null, null]],
  ]);
});
