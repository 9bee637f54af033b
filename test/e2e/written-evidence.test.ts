/** The command that measures a real writer and judge, against an API on loopback: both are asked, paid once within the budget, and tabled. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { splitOf } from "../../src/domain/dataset.ts";
import { startFakeLlm } from "../fakes/fake-llm.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
let folder: string;
let llm: Awaited<ReturnType<typeof startFakeLlm>>;

/** Eight samples of one generator, half of them wrong; seven tests of its own. */
function problem(group: string) {
  const bodies = ["a + b", "b + a", "sum([a, b])", "a - -b", "a - b", "a * b", "a", "abs(a) + abs(b)"];
  const asserts = [
    [1, 2],
    [0, 5],
    [-1, 1],
    [7, 0],
    [3, 3],
    [-4, -4],
    [10, -3],
  ].map(([a, b]) => `    assert candidate(${a}, ${b}) == ${a! + b!}`);
  return {
    set: "humaneval_codet",
    problem_id: group,
    group,
    prompt: `def add(a, b):\n    """The sum, for ${group}."""\n`,
    entry_point: "add",
    io: "call",
    tests: `def check(candidate):\n${asserts.join("\n")}\n`,
    candidates: bodies.map((body, i) => ({
      id: `${group}-${i}`,
      model: "m",
      code: `def add(a, b):\n    """The sum."""\n    return ${body}\n`,
      passed: i < 4,
    })),
  };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-written-"));
  const named = (split: string) => {
    for (let i = 0; ; i++) if (splitOf(`g${i}`) === split) return `g${i}`;
  };
  const rows = ["meta", "validation"].map((split) => JSON.stringify(problem(named(split)!)));
  writeFileSync(join(folder, "humaneval_codet.jsonl.gz"), gzipSync(rows.join("\n")));
  for (const set of ["humaneval_guni", "mint_codegen", "classeval"])
    writeFileSync(join(folder, `${set}.jsonl.gz`), gzipSync(""));
  writeFileSync(join(folder, "prices.json"), '{"m": {"inputPerMillion": 1, "outputPerMillion": 1}}');
  llm = await startFakeLlm(({ stream, messages }) => {
    if (stream)
      return {
        text: "```python\nimport unittest\nfrom task import add\n\n\nclass T(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(add(2, 3), 5)\n\n    def test_negative(self):\n        self.assertEqual(add(-2, -3), -5)\n```",
      };
    const p = /return (a \+ b|b \+ a|sum|a - -b)/.test(messages[1]!.content) ? 0.9 : 0.2;
    return {
      tokens: [
        ["yes", p],
        ["no", 1 - p],
      ],
    };
  });
});
afterAll(async () => {
  await llm.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function measure(...options: string[]) {
  const child = spawn(
    process.execPath,
    [join(ROOT, "bench/written-evidence.ts"), folder, join(folder, "cache"), "2", "--llm", ...options],
    {
      env: {
        PATH: process.env["PATH"]!,
        OPENAI_API_KEY: "k",
        OPENAI_BASE_URL: llm.url,
        LLM_MODELS: "m",
        LLM_PRICES: join(folder, "prices.json"),
      },
    },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  return { status, stdout, stderr };
}

test("one command tables the writer and the judge of a real key, goes on where its budget ended, and pays nothing twice", async () => {
  // Ten answers of $0.001 a problem; the tests of the second one may cost more than is left.
  const broken = await measure("--budget=0.012");
  expect([broken.status, broken.stdout, llm.asked.length]).toEqual([1, "", 10]);
  expect(broken.stderr).toMatch(/\$0\.0100 of \$0\.012 spent/);
  const { status, stdout, stderr } = await measure();
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  expect(stderr).toMatch(/\$0\.0200 of \$20 spent, \$0\.0100 of it now\n$/);
  const asked = llm.asked.map(({ messages }) => JSON.stringify(messages));
  expect([asked.length, new Set(asked).size]).toEqual([20, 20]);
  expect([llm.asked.some((one) => one.stream), llm.asked.some((one) => one.logprobs)]).toEqual([true, true]);
  const row = stdout.split("\n").find((line) => line.startsWith("| 0 | 0 | "));
  const cells = row!.split("|").map((cell) => cell.trim());
  // Tests, dual agreement, …: the written tests let exactly the right half pass, the judge likes it.
  expect([cells[3], cells[7], cells[11]]).toEqual(["1.000", "1.000", "1.000"]);
  expect(stdout).toMatch(/\| 0 \| 8 \| 0\.\d+ \| 0\.\d+ \| /);
  const opinions: unknown[] = [];
  for await (const { candidates } of createFiles().candidateSet(
    join(folder, "cache/opinions/humaneval_codet.jsonl.gz"),
  ))
    opinions.push(candidates.map((one) => one.opinions?.map((value) => value?.toFixed(1))));
  const liked = [..."11110000"].map((right) => [right === "1" ? "0.9" : "0.2"]);
  expect(opinions).toEqual([liked, liked]);
  const again = await measure();
  expect([again.status, again.stdout, llm.asked.length]).toEqual([0, stdout, 20]);
  expect(again.stderr).toMatch(/\$0\.0000 of it now\n$/);
}, 300_000);
