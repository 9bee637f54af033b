/** `funprm solve` as a person runs it: every setting of the repository is used, or one line says why not. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Asked, startFakeLlm } from "../fakes/fake-llm.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "test/fixtures/models/tiny");
const EXPRESSIONS = ["sum(items)", "sum(x for x in items)", "math.fsum(items)"];
const answerOf = (expression: string) =>
  `### total.py :: total\n\`\`\`python\ndef total(items):\n    """Sum."""\n    return ${expression}\n\`\`\``;

let folder: string;
let llm: Awaited<ReturnType<typeof startFakeLlm>> | null = null;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-solve-"));
  mkdirSync(join(folder, "repo/.github"), { recursive: true });
  writeFileSync(join(folder, "repo/total.py"), "import math\n\n\ndef total(items):\n    return 0\n");
  writeFileSync(join(folder, "issue.md"), "# total gives 0\n\nIt should be the sum.\n");
  writeFileSync(join(folder, "prices.json"), '{"second": {"inputPerMillion": 1, "outputPerMillion": 1}}');
  const rows = EXPRESSIONS.map((one, index) => JSON.stringify({ index, text: answerOf(one) }));
  writeFileSync(join(folder, "answers.jsonl"), rows.join("\n"));
});
afterEach(async () => {
  await llm?.stop();
  llm = null;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function solve(config: string, args: string[], env: Record<string, string> = {}) {
  writeFileSync(join(folder, "repo/.github/funprm.yml"), config);
  const child = spawn(
    process.execPath,
    [join(ROOT, "src/main.ts"), "solve", "--repo", "repo", "--issue", "issue.md", "--n", "3", "--json", ...args],
    { cwd: folder, env: { PATH: process.env["PATH"]!, INIT_CWD: folder, MODEL_DIR: TINY, ...env } },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  return { status, stderr, result: stdout === "" ? null : JSON.parse(stdout) };
}

const JUDGED = "version: 1\nprm: { backend: llm-judge }\nfix: { select: knockout }\nllm: { model: second }\n";

describe("funprm solve", () => {
  test("asks the configured model as scorer and as judge of duels, and ranks by what it says", async () => {
    let sampled = 0;
    const duel = ({ messages }: Asked) => messages[1]!.content.includes("Second solution");
    llm = await startFakeLlm((asked) => {
      if (asked.stream) return { text: answerOf(EXPRESSIONS[sampled++ % 3]!) };
      const text = asked.messages[1]!.content;
      const first = text.slice(0, text.indexOf("Second solution"));
      const p = !duel(asked) ? 0.6 : first.includes("fsum") ? 0.9 : text.includes("fsum") ? 0.1 : 0.5;
      return {
        tokens: [
          ["yes", p],
          ["no", 1 - p],
        ],
      };
    });
    const { status, stderr, result } = await solve(JUDGED, [], {
      OPENAI_API_KEY: "k",
      OPENAI_BASE_URL: llm.url,
      LLM_MODELS: "first,second",
      LLM_PRICES: join(folder, "prices.json"),
    });
    expect([status, result.missing]).toEqual([0, []]);
    expect(result.model.name).toBe("llm-judge second");
    expect(new Set(llm.asked.map((asked) => (asked as { model?: string }).model))).toEqual(new Set(["second"]));
    expect(llm.asked.some(duel)).toBe(true);
    const chosen = result.candidates[result.selected];
    expect(chosen.steps[0].reward).toBeCloseTo(0.6, 6);
    expect(result.reason).toContain("knockout");
    expect(stderr).not.toContain("No language model");
  });

  test("without a key and with recorded answers says in one line each what was not done", async () => {
    const { status, stderr, result } = await solve(JUDGED, ["--replay", "answers.jsonl"]);
    expect(status).toBe(0);
    expect(result.missing).toEqual([
      "No language model judged the functions: recorded answers are replayed, so no LLM is asked; the reward model tiny scored all.",
      "No knockout was held: recorded answers are replayed, so no LLM is asked.",
    ]);
    for (const line of result.missing) expect(stderr).toContain(`funprm: ${line}\n`);
    expect(result.model.name).toBe("tiny");
  });

  test("refuses a model and an environment that the operator does not offer, with one line", async () => {
    const asked = await solve(JUDGED, [], { OPENAI_API_KEY: "k", LLM_MODELS: "first" });
    expect([asked.status, asked.stderr]).toEqual([
      2,
      "funprm: .github/funprm.yml: llm.model second is none of the operator's models (first)\n",
    ]);
    const tests = await solve("version: 1\ntests: { runner: sandbox, environment: web }\n", [
      "--replay",
      "answers.jsonl",
    ]);
    expect([tests.status, tests.stderr]).toEqual([
      2,
      "funprm: .github/funprm.yml: tests.environment web is none of the operator's environments (none is set)\n",
    ]);
  });
});
