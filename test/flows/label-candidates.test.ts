/** Monte Carlo labels by an LLM that goes on from a prefix, judged in the real sandbox. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { openRowCache } from "../../src/adapters/files/row-cache.ts";
import { createSandboxJudge } from "../../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { splitOf } from "../../src/domain/dataset.ts";
import { labelCandidates } from "../../src/flows/label-candidates.ts";
import type { Generator, Sample, SampleRequest } from "../../src/ports.ts";

let folder: string;
let judge: Awaited<ReturnType<typeof createSandboxJudge>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-label-"));
  judge = await createSandboxJudge({ weakestTier: 2 });
});
afterAll(() => {
  judge.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const groupIn = (split: string) => Array.from({ length: 99 }, (_, k) => `g${k}`).find((one) => splitOf(one) === split)!;
const HEAD = "def up(n):\n    return n + 1\n\n\n";
const problem = (split: string) => ({
  set: "s",
  problem_id: split,
  group: groupIn(split),
  prompt: "Write twice(n), which adds 2.",
  entry_point: "twice",
  io: "call",
  tests: "assert twice(1) == 3\nassert twice(5) == 7\n",
  candidates: [{ id: `${split}#0`, model: "m", code: `${HEAD}def twice(n):\n    return up(up(n))\n`, passed: null }],
});

/** Every second completion is right; all close the block and go on talking. */
function llm(asked: SampleRequest[]): Generator {
  return {
    name: "fake",
    model: "fake-1",
    origin: "llm",
    provePrefill: async () => {},
    async *sample(request) {
      for (let index = 0; index < request.n; index++) {
        if (request.skip?.has(index)) continue;
        asked.push({ ...request, n: index });
        const sum = index % 2 === 0 ? "up(up(n))" : "up(n)";
        yield {
          index,
          text: `def twice(n):\n    return ${sum}\n\`\`\`\nThat is it: (`,
          facts: { costUsd: 0.01 } as Sample["facts"],
        };
      }
    },
  };
}

async function label(generator: Generator, out: string) {
  const input = join(folder, "in.jsonl");
  writeFileSync(input, ["training", "validation"].map((split) => `${JSON.stringify(problem(split))}\n`).join(""));
  return labelCandidates({ input, out: join(folder, out) }, judge, await createSyntax(), createFiles(), {
    trials: { kind: "fixed", trials: 4 },
    seed: 0,
    limit: null,
    slots: 2,
    llm: { generator, samples: openRowCache<Sample>(join(folder, `${out}-samples.jsonl`)), temperature: 0.8 },
    onProgress: () => {},
  });
}

test("each completion begins with its prefix byte for byte, ends with its block, and is paid once; validation is not rolled out", async () => {
  const asked: SampleRequest[] = [];
  const summary = await label(llm(asked), "a");
  expect(summary).toMatchObject({ passed: 2, prefixes: 1, completions: 4, costUsd: 0.04 });
  expect(asked.map(({ n, problem, prefix }) => [n, problem, prefix])).toEqual(
    [0, 1, 2, 3].map((index) => [index, "training", `\`\`\`python\n${HEAD.trimEnd()}\n`]),
  );
  const rows = readFileSync(join(folder, "a/labelled.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((row) => JSON.parse(row));
  expect(rows.map((row) => row.candidates[0].monteCarlo)).toEqual([[[2, 4], null], undefined]);
  rmSync(join(folder, "a"), { recursive: true });
  await label(llm(asked), "a");
  expect(asked).toHaveLength(4);
});

test("without an LLM the other candidates complete a prefix; the only way to complete one says nothing", async () => {
  const input = join(folder, "pool.jsonl");
  const wrong = problem("training").candidates[0]!.code.replace("up(up(n))", "up(n)");
  const other = { id: "training#1", model: "m", code: wrong, passed: null };
  const training = problem("training");
  writeFileSync(input, `${JSON.stringify({ ...training, candidates: [...training.candidates, other] })}\n`);
  const options = {
    trials: { kind: "fixed", trials: 8 },
    seed: 0,
    limit: null,
    slots: 2,
    llm: null,
    onProgress: () => {},
  };
  const summary = await labelCandidates(
    { input, out: join(folder, "c") },
    judge,
    await createSyntax(),
    createFiles(),
    options as Parameters<typeof labelCandidates>[4],
  );
  expect(summary).toMatchObject({ passed: 1, prefixes: 2, completions: 16, costUsd: null });
  const [row] = readFileSync(join(folder, "c/labelled.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  for (const { monteCarlo } of row.candidates) {
    expect(monteCarlo).toEqual([[expect.any(Number), 8], null]);
    // Half of the ways to complete it are right.
    expect(Math.abs(monteCarlo[0][0] - 4)).toBeLessThan(4);
  }
});

test("answers that cannot go on from a prefix are refused before anything is judged", async () => {
  const { provePrefill: _, ...replay } = llm([]);
  await expect(label(replay, "b")).rejects.toMatchObject({
    code: "GENERATOR_REFUSED",
    message: expect.stringContaining("--completions"),
  });
});
