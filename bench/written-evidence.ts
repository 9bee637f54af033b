/**
 * What tests written from an issue, and a judge's opinion, are worth (docs/adr/0009-written-evidence.md):
 *
 *   node bench/written-evidence.ts DATA CACHE [PROBLEMS A SET AND SPLIT]         stand-ins, no LLM
 *   OPENAI_API_KEY=… LLM_MODELS=… LLM_PRICES=… node bench/written-evidence.ts DATA CACHE 25 --llm [--budget=20]
 *
 * The second writes and judges with the LLM and prints the same tables. What was paid for is kept in CACHE: a run that broke off
 * goes on where it stopped, and `--budget` holds for all runs together. The judge's opinions of each prefix are also written to
 * `CACHE/opinions/SET.jsonl.gz`, candidate sets whose training rows take them as labels `source: judge`.
 *
 * Rewards are the model's own, without the bound of docs/adr/0020-words.md: where tests or a judge speak the rule leaves them out.
 *
 * k of a problem's own tests stand for tests that a model wrote; the others are the hidden verdict. Then the same with
 * planted errors: a wrong test asks for what one wrong candidate does, a wrong opinion is turned round. Groups of 8 samples
 * of one generator, held-out groups in the tables, meta groups where something is fitted (rulings 2).
 */

import { cpus } from "node:os";
import { join } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRowCache } from "../src/adapters/files/row-cache.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { EMBEDDED_MODEL, openGenerator, openLlmJudge } from "../src/compose.ts";
import { readEnvironment } from "../src/config/env.ts";
import { createBudget } from "../src/domain/budget.ts";
import type { PromptMessage } from "../src/domain/chain-of-function.ts";
import { type CandidateSetProblem, type SetCandidate, samplesByPool, splitOf } from "../src/domain/dataset.ts";
import { sha256 } from "../src/domain/ids.ts";
import { renderSteps } from "../src/domain/render.ts";
import { parseWrittenTests, reproductionPrompt, reproductionSha256 } from "../src/domain/reproduction-prompt.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";
import { problemOfRow } from "../src/domain/test-forms.ts";
import { seeded } from "../src/evaluation/statistics.ts";
import { judgeCandidates } from "../src/flows/judge-candidates.ts";
import { scoreSteps } from "../src/flows/score-candidates.ts";
import { type Group, printTables } from "./written-tables.ts";

const [data, cache, most = "25"] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
if (!data || !cache) throw new Error("node bench/written-evidence.ts DATA CACHE [PROBLEMS A SET AND SPLIT]");
const SETS = ["humaneval_codet", "humaneval_guni", "mint_codegen", "classeval"];
const N = 8;
const POOLS_A_PROBLEM = 3;
const MOST_VISIBLE = 5;

type Answer = { text: string; finishReason: string };
/** What the judge says of a program, and of each of its prefixes, in [0,1]. */
type Opinion = { score: number | null; prefixes: (number | null)[] };

const env = readEnvironment();
const files = createFiles();
const paid = process.argv.includes("--llm") ? openPaid() : null;
const syntax = await createSyntax();
const model = await openRewardModel(EMBEDDED_MODEL);
const judge = await createSandboxJudge({ weakestTier: 2 });
const verdicts = openRowCache<boolean[]>(join(cache, "written-verdicts.jsonl"));
const scores = openRowCache<number | null>(join(cache, `written-rewards-${model.info.sha256.slice(0, 12)}.jsonl`));
const groups: Group[] = [];
for (const set of SETS) {
  const problems = { training: 0, "held-out": 0 };
  const judged: CandidateSetProblem[] = [];
  for await (const problem of files.candidateSet(join(data, `${set}.jsonl.gz`))) {
    const part = splitOf(problem.group);
    const split = part === "training" ? "training" : "held-out";
    if (problems[split] >= Number(most)) continue;
    const drawn = drawnOf(problem);
    if (drawn.length === 0) continue;
    const found = await groupsOf(problem, drawn, split, part === "meta").finally(() => paid?.tally());
    if (found.length === 0) continue;
    problems[split] += 1;
    groups.push(...found);
    if (paid !== null) judged.push(withOpinions(problem));
    process.stderr.write(
      `\r${set}: ${problems.training} + ${problems["held-out"]} problems, ${groups.length} groups${paid === null ? "" : `, ${paid.shown()}`}   `,
    );
  }
  process.stderr.write("\n");
  if (judged.length > 0) await files.writeRows(join(cache, "opinions", `${set}.jsonl.gz`), judged);
}
judge.dispose();
await model.dispose();
printTables(groups, SETS, paid !== null);
if (paid !== null) process.stderr.write(`${paid.shown()}\n`);

/** Writer and judge on one budget, and what they answered and cost so far. */
function openPaid() {
  const option = process.argv.find((one) => one.startsWith("--budget="));
  const most = option === undefined ? 20 : Number(option.slice("--budget=".length));
  if (!(most > 0)) throw new Error(`${option}: dollars, more than 0`);
  const name = sha256(`${env.OPENAI_BASE_URL ?? ""} ${env.LLM_MODELS}`).slice(0, 12);
  const costs = openRowCache<number>(join(cache!, `llm-cost-${name}.jsonl`));
  const before = costs.get("usd") ?? 0;
  const budget = createBudget(most - before);
  const writer = openGenerator(env, { model: null, budget });
  const opinion = openLlmJudge(env, { model: null, budget })!;
  if (opinion.spent!().costUsd === null)
    throw new Error(`LLM_PRICES has no price of ${writer.model}: nothing would stop at $${most}`);
  const spent = () => most - budget.left();
  return {
    writer,
    opinion,
    tests: openRowCache<Answer>(join(cache!, `llm-tests-${name}.jsonl`)),
    opinions: openRowCache<Opinion>(join(cache!, `llm-opinions-${name}-${opinion.info.sha256.slice(0, 12)}.jsonl`)),
    tally() {
      if (spent() !== costs.get("usd")) costs.put("usd", spent());
    },
    shown: () => `$${spent().toFixed(4)} of $${most} spent, $${(spent() - before).toFixed(4)} of it now`,
  };
}

/** The row as a candidate set holds it, with what the judge said of each prefix. */
function withOpinions(problem: CandidateSetProblem): CandidateSetProblem {
  const candidates = problem.candidates.map((one) => {
    const opinion = paid!.opinions.get(keyOf(problem, one.code));
    return opinion === undefined ? one : { ...one, opinions: opinion.prefixes };
  });
  return { ...problem, candidates };
}

function keyOf(problem: CandidateSetProblem, code: string): string {
  return sha256(JSON.stringify([problem.set, problem.problem_id, runnable(problem, code)]));
}

function drawnOf(problem: CandidateSetProblem): SetCandidate[][] {
  const pools = new Map<string, SetCandidate[]>();
  for (const one of problem.candidates)
    if (one.passed !== null)
      for (const [generator, count] of samplesByPool(problem.set, one)) {
        // Its generators have five samples each at most.
        const pool = problem.set.startsWith("classeval") ? "all" : generator;
        pools.set(pool, [...(pools.get(pool) ?? []), ...Array.from({ length: Math.min(count, N) }, () => one)]);
      }
  return [...pools]
    .filter(([, all]) => all.length >= N && new Set(all.map((one) => one.passed)).size === 2)
    .slice(0, POOLS_A_PROBLEM)
    .map(([pool, all]) => {
      const random = seeded(Number.parseInt(sha256(`${problem.problem_id} ${pool}`).slice(0, 8), 16));
      return all
        .map((one) => ({ one, at: random() }))
        .sort((a, b) => a.at - b.at)
        .slice(0, N)
        .map(({ one }) => one);
    });
}

async function groupsOf(
  problem: CandidateSetProblem,
  drawn: SetCandidate[][],
  split: Group["split"],
  meta: boolean,
): Promise<Group[]> {
  const found = problemOfRow(problem);
  if (found === null) return [];
  const codes = [...new Set(drawn.flat().map(({ code }) => code))];
  const key = (code: string) => keyOf(problem, code);
  const missing = codes.filter((code) => verdicts.get(key(code)) === undefined);
  const batch = await judgeCandidates(
    judge,
    missing.map((code) => ({
      problem: found.problem,
      candidate: { code: runnable(problem, code), language: "python" as const },
    })),
    { slots: cpus().length, cpuSeconds: 2 },
  );
  for (const [at, code] of missing.entries()) verdicts.put(key(code), casesOf(batch.verdicts[at]!.cases));
  const width = Math.max(...codes.map((code) => verdicts.get(key(code))!.length));
  if (width <= MOST_VISIBLE) return [];
  const programs = new Map(
    codes.map((code) => {
      const outline = syntax.outline(code, "python");
      const file = segment(decodeSource(Buffer.from(code)), outline, null);
      const rendered = renderSteps(file, outline);
      return [code, file.steps.map(({ signature }, k) => ({ signature, rendered: rendered[k]! }))];
    }),
  );
  const unscored = codes.filter((code) => scores.get(key(code)) === undefined);
  const scored = await scoreSteps(
    model,
    problem.prompt,
    unscored.map((code) => ({ id: "", steps: programs.get(code)! })),
  );
  for (const [at, code] of unscored.entries()) scores.put(key(code), scored[at]!.score);
  const written = paid && (await writtenVerdicts(problem, codes));
  if (paid !== null) {
    const unasked = codes.filter((code) => paid.opinions.get(key(code)) === undefined);
    const judged = await scoreSteps(
      paid.opinion,
      problem.prompt,
      unasked.map((id) => ({ id, steps: programs.get(id)! })),
    );
    if (judged.some(({ reasons }) => reasons.includes("budget")))
      throw new Error(`${paid.shown()}: too little is left for ${problem.problem_id}; give a larger --budget to go on`);
    for (const { id, score, rewards } of judged) paid.opinions.put(key(id), { score, prefixes: rewards });
  }
  return drawn.map((all) => ({
    written: written && all.map(({ code }) => written.get(code)!),
    opinions: paid && all.map(({ code }) => paid.opinions.get(key(code))!.score),
    set: problem.set,
    group: problem.group,
    split,
    meta,
    // A program that ended before a test has failed it.
    cases: all.map(({ code }) => Array.from({ length: width }, (_, t) => verdicts.get(key(code))![t] ?? false)),
    texts: all.map(({ code }) =>
      programs
        .get(code)!
        .map(({ rendered }) => rendered)
        .join("\n"),
    ),
    rewards: all.map(({ code }) => scores.get(key(code))!),
  }));
}

/** As the set's own harness ran it: with the names of typing, and the method of a `Solution` under the entry point's name. */
function runnable({ io, entry_point, tests }: CandidateSetProblem, code: string): string {
  if (io !== "call" || !entry_point || /\bunittest\b/.test(`${tests}`) || !/^class Solution\b/m.test(code)) return code;
  return `from typing import *\n${code}\n\nif "${entry_point}" not in globals():\n    ${entry_point} = Solution().${entry_point}\n`;
}

/** The LLM's own tests of a problem, each on every program. */
async function writtenVerdicts(
  problem: CandidateSetProblem,
  codes: readonly string[],
): Promise<Map<string, boolean[]>> {
  const entry = problem.entry_point!;
  const messages = reproductionPrompt(
    { title: `Write ${entry}`, body: problem.prompt },
    { functions: [{ path: "task.py", name: entry, source: problem.prompt }], outlines: [], headers: [] },
    "unittest",
    null,
  );
  const found = new Map(codes.map((code) => [code, [] as boolean[]]));
  const key = reproductionSha256(messages);
  const answer = paid!.tests.get(key) ?? (await askForTests(messages, problem.problem_id));
  if (paid!.tests.get(key) === undefined) paid!.tests.put(key, answer);
  const parsed = parseWrittenTests(answer.text, {
    finishReason: answer.finishReason,
    style: "unittest",
    outline: (source) => syntax.outline(source, "python"),
  });
  if (!parsed.ok) return found;
  for (const { source } of parsed.tests) {
    const tests = { io: "tests", entry_point: entry, tests: source, style: "unittest", module: "task" } as const;
    const batch = await judgeCandidates(
      judge,
      codes.map((code) => ({
        problem: tests,
        candidate: { code: runnable(problem, code), language: "python" as const },
      })),
      { slots: cpus().length },
    );
    for (const [at, code] of codes.entries()) found.get(code)!.push(batch.verdicts[at]!.verdict === "PASS");
  }
  return found;
}

async function askForTests(messages: PromptMessage[], problem: string): Promise<Answer> {
  const request = { messages, n: 1, temperature: null, seed: 0, maxTokens: 4096, problem, purpose: "tests" as const };
  for await (const sample of paid!.writer.sample(request)) {
    if ("text" in sample) return { text: sample.text, finishReason: sample.facts.finishReason };
    throw new Error(`${paid!.shown()}; ${sample.error.code}: ${sample.error.message}`);
  }
  throw new Error("the generator gave no answer");
}

function casesOf(cases: readonly { verdict: string; id?: string }[]): boolean[] {
  // unittest reports by name, in any order.
  const ordered = cases.every(({ id }) => id !== undefined)
    ? [...cases].sort((a, b) => a.id!.localeCompare(b.id!))
    : cases;
  return ordered.map(({ verdict }) => verdict === "PASS");
}
