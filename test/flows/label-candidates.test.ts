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

test("answers that cannot go on from a prefix are refused before anything is judged", async () => {
  const { provePrefill: _, ...replay } = llm([]);
  await expect(label(replay, "b")).rejects.toMatchObject({
    code: "GENERATOR_REFUSED",
    message: expect.stringContaining("--completions"),
  });
});
