/**
 * The number that a maintainer feels: held-out problems through the app's own solve path, real candidates as the generator.
 *
 *   node bench/solve-path.ts DATA [POOLS A SET] [--written]
 *
 * Each problem becomes a repository with one function to write, its statement the issue; 8 candidates of one generator are
 * its answers. k of the problem's own tests are the repository's visible tests, k = 0, 1, 3; what the chosen candidate is
 * worth says the set's verdict. `--written`: no visible test, instead a scripted writer whose tests are wrong with a planted
 * chance (they ask for the result of another input), and issues without their doctests. A candidate that needs more than functions and imports is rejected by the app, as it would be.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createReplayGenerator } from "../src/adapters/replay/replay-generator.ts";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../src/adapters/workspace/workspace.ts";
import { EMBEDDED_MODEL } from "../src/compose.ts";
import { type CandidateSetProblem, type SetCandidate, samplesByPool, splitOf } from "../src/domain/dataset.ts";
import { sha256 } from "../src/domain/ids.ts";
import { decodeValue, toPythonLiteral } from "../src/domain/judge-values.ts";
import { UNKNOWN } from "../src/domain/reliability.ts";
import { DEFAULT_REPO_CONFIG } from "../src/domain/repo-config.ts";
import { SELECT_RULES } from "../src/domain/select.ts";
import { problemOfRow } from "../src/domain/test-forms.ts";
import { bootstrap, seeded } from "../src/evaluation/statistics.ts";
import { solveProblem } from "../src/flows/solve-problem.ts";
import type { RecordedAnswer } from "../src/ports.ts";

const [data, most = "40"] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
if (!data) throw new Error("node bench/solve-path.ts DATA [POOLS A SET]");
const SETS = ["humaneval_codet", "humaneval_multi", "mint_codegen"];
const N = 8;
const WRITTEN = 3;
const onlyWritten = process.argv.includes("--written");
const syntax = await createSyntax();
const model = await openRewardModel(EMBEDDED_MODEL);
const judge = await createSandboxJudge({ weakestTier: 2 });
const files = createFiles();
const outline = (source: string) => syntax.outline(source, "python");

/** Written tests that base let stand, and others. */
const kept = new Map<boolean, number>();
type Outcome = { group: string; result: "right" | "wrong" | "abstained" };
const outcomes = new Map<string, Outcome[]>();

/** A program as the answer that the repository prompt asks for; null when it holds what no answer can. */
function answerOf(code: string): string {
  const { definitions, imports } = outline(code);
  const head = imports.map(({ start, end }) => code.slice(start, end)).join("\n");
  const blocks = definitions
    .filter(({ kind }) => kind === "function")
    .map(({ name, span }) => `### task.py :: ${name}\n\`\`\`\`python\n${code.slice(span.start, span.end)}\n\`\`\`\``);
  return [...blocks, ...(head === "" ? [] : [`### task.py :: imports\n\`\`\`\`python\n${head}\n\`\`\`\``])].join(
    "\n\n",
  );
}

/** `wrong`: chance that a test asks for what another input gives. */
function testsOf(problem: CandidateSetProblem, k: number, wrong = 0): string | null {
  const random = seeded(Number.parseInt(sha256(problem.problem_id).slice(0, 8), 16));
  const found = problemOfRow(problem);
  if (found === null || found.problem.io !== "call") return null;
  const literal = (value: Parameters<typeof decodeValue>[0]) => toPythonLiteral(decodeValue(value));
  const { cases: all } = found.problem;
  const cases = all.slice(-k).map((one, at) => {
    const other = all.find(({ expected }) => JSON.stringify(expected) !== JSON.stringify(one.expected));
    const wanted = random() < wrong ? (other?.expected ?? null) : one.expected;
    const args = [
      ...one.args.map(literal),
      ...Object.entries(one.kwargs).map(([key, value]) => `${key}=${literal(value)}`),
    ];
    return `    def test_${at}(self):\n        self.assertEqual(${problem.entry_point}(${args.join(", ")}), ${literal(wanted)})\n`;
  });
  return `import unittest\n\nfrom task import ${problem.entry_point}\n\n\nclass Visible(unittest.TestCase):\n${cases.join("\n")}`;
}

/** Most issues hold no example: with one, nothing that a model writes decides. */
function withoutDoctests(prompt: string): string {
  return prompt.replace(/^[ \t]*>>>.*\n(?:(?![ \t]*(?:>>>|"""|'''|$)).*\n)*/gm, "");
}

async function solve(
  problem: CandidateSetProblem,
  drawn: readonly SetCandidate[],
  k: number,
  rule: (typeof SELECT_RULES)[number],
  wrong: number | null = null,
) {
  const root = mkdtempSync(join(tmpdir(), "funprm-solve-path-"));
  try {
    const { definitions, imports } = outline(problem.prompt);
    const stub = definitions.find((one) => one.simpleName === problem.entry_point);
    if (!stub) return null;
    const head = imports.map(({ start, end }) => problem.prompt.slice(start, end)).join("\n");
    // A written test counts when base fails its assertion; an error that the issue does not name is none.
    writeFileSync(
      join(root, "task.py"),
      `${head}\n\n\n${stub.signature}:\n    ${onlyWritten ? "return None" : "raise NotImplementedError"}\n`,
    );
    const tests = k === 0 ? null : testsOf(problem, k);
    if (k > 0 && tests === null) return null;
    if (tests !== null) {
      mkdirSync(join(root, "tests"));
      writeFileSync(join(root, "tests/__init__.py"), "");
      writeFileSync(join(root, "tests/test_task.py"), tests);
    }
    const checkout = await createWorkspace().checkout({ kind: "local", path: root, ref: null });
    const answers = drawn.map(
      ({ code }, index): RecordedAnswer => ({
        problem: "*",
        index,
        text: answerOf(code),
        model: "set",
        origin: "recorded",
        finishReason: "stop",
        promptTokens: null,
        completionTokens: null,
        costUsd: null,
      }),
    );
    const written = wrong === null ? null : testsOf(problem, WRITTEN, wrong);
    if (wrong !== null && written === null) return null;
    if (written !== null)
      answers.push({ ...answers[0]!, purpose: "tests", index: 0, text: `\`\`\`python\n${written}\`\`\`` });
    const solution = await solveProblem(
      {
        key: "*",
        title: `Write ${problem.entry_point}`,
        body: onlyWritten ? withoutDoctests(problem.prompt) : problem.prompt,
        seed: 0,
      },
      checkout,
      { syntax, generator: createReplayGenerator(answers, "set"), model, judge, pairs: null },
      {
        candidates: drawn.length,
        temperature: null,
        maxTokens: 4096,
        rule,
        policy: { blockedPaths: [], allowedPaths: [], matches: () => false },
        scorer: "reward",
        belief: UNKNOWN,
        addTest: false,
        tests: { ...DEFAULT_REPO_CONFIG.tests, run: true, command: null, environment: null, timeoutSeconds: 20 },
      },
      {
        stored: [],
        reproduction: null,
        onStage: async () => {},
        onCandidate: async () => {},
        onRelevant: async () => {},
        onReproduction: async () => {},
      },
      new AbortController().signal,
    );
    const { selected } = solution.selection;
    for (const test of solution.reproduction?.tests ?? []) kept.set(test.kept, (kept.get(test.kept) ?? 0) + 1);
    return selected === null ? "abstained" : drawn[selected]!.passed === true ? "right" : "wrong";
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

for (const set of SETS) {
  let pools = 0;
  for await (const problem of files.candidateSet(join(data, `${set}.jsonl.gz`))) {
    if (splitOf(problem.group) !== "validation" || !problem.entry_point) continue;
    const byPool = new Map<string, SetCandidate[]>();
    for (const one of problem.candidates)
      if (one.passed !== null)
        for (const [pool, count] of samplesByPool(problem.set, one))
          byPool.set(pool, [...(byPool.get(pool) ?? []), ...Array.from({ length: Math.min(count, N) }, () => one)]);
    for (const [pool, members] of byPool) {
      const mixed = new Set(members.map((one) => one.passed)).size === 2;
      if (!mixed || members.length < N || pools >= Number(most)) continue;
      pools += 1;
      const random = seeded(pools);
      const drawn = [...members].sort(() => random() - 0.5).slice(0, N);
      for (const wrong of onlyWritten ? [null, 0, 0.2, 0.4] : []) {
        // Compared on the same problems.
        if (testsOf(problem, WRITTEN) === null) continue;
        const result = await solve(problem, drawn, 0, DEFAULT_REPO_CONFIG.fix.select, wrong);
        if (result === null) continue;
        const key = `${wrong === null ? "nothing written" : `written, ${wrong} wrong`}`;
        outcomes.set(key, [...(outcomes.get(key) ?? []), { group: problem.group, result }]);
      }
      for (const k of onlyWritten ? [] : [0, 1, 3]) {
        for (const rule of SELECT_RULES) {
          const result = await solve(problem, drawn, k, rule);
          if (result === null) continue;
          const key = `k=${k} ${rule}`;
          outcomes.set(key, [...(outcomes.get(key) ?? []), { group: problem.group, result }]);
        }
      }
      const lucky = `one sample, no app`;
      outcomes.set(lucky, [
        ...(outcomes.get(lucky) ?? []),
        { group: problem.group, result: drawn[0]!.passed ? "right" : "wrong" },
      ]);
      process.stderr.write(`\r${set}: ${pools} groups (${pool.slice(0, 30)})        `);
    }
  }
  process.stderr.write("\n");
}
if (onlyWritten) console.log(`written tests kept ${kept.get(true) ?? 0}, set aside ${kept.get(false) ?? 0}`);
for (const [name, all] of [...outcomes].sort()) {
  const share = (result: Outcome["result"]) => {
    const groups = Map.groupBy(all, (one) => one.group);
    const sums = [...groups].map(([group, rows]) => ({
      group,
      numerator: rows.filter((row) => row.result === result).length,
      denominator: rows.length,
    }));
    const { value, ci } = bootstrap(sums)!;
    return `${result} ${value.toFixed(3)} [${ci[0].toFixed(3)}, ${ci[1].toFixed(3)}]`;
  };
  console.log(name.padEnd(28), `${all.length} groups  ${share("right")}  ${share("wrong")}  ${share("abstained")}`);
}
judge.dispose();
await model.dispose();
