/**
 * Chooses the weights of the hybrid rule on the meta groups, which no model was trained on and no figure is claimed on: `node bench/hybrid.ts DATA RUNS [PROBLEMS A SET]`.
 * DATA is the folder of candidate sets, RUNS keeps what was scored and run. Also printed: the choice with each set left out.
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRowCache } from "../src/adapters/files/row-cache.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { EMBEDDED_MODEL } from "../src/compose.ts";
import { HYBRID_WEIGHTS } from "../src/domain/hybrid.ts";
import { hybrid, SELECTORS } from "../src/evaluation/selectors.ts";
import { evaluateSets, type Reward } from "../src/flows/evaluate-sets.ts";
import type { Evidence } from "../src/flows/gather-evidence.ts";

const [data, runs, limit = "1000"] = process.argv.slice(2);
if (!data || !runs) throw new Error("node bench/hybrid.ts DATA RUNS [PROBLEMS A SET]");
const SETS = ["humaneval_guni", "humaneval_codet", "humaneval_multi", "mint_codegen", "codeforces_guni"];
const N = 8;
const grid = [0, 0.1, 0.2, 2, 5, 20].flatMap((consensus) =>
  [0, 1, 2, 5, 10, 40].map((reward) => ({ ...HYBRID_WEIGHTS, consensus, reward })),
);
const nameOf = ({ consensus, reward }: (typeof grid)[number]) => `consensus ${consensus} reward ${reward}`;
const ablations = (["examples", "agreement", "consensus", "reward"] as const).map((signal) =>
  hybrid(`without ${signal}`, HYBRID_WEIGHTS, [signal]),
);
const model = await openRewardModel(EMBEDDED_MODEL);
const judge = await createSandboxJudge({ weakestTier: 2 });
const files = createFiles();
const report = await evaluateSets(
  SETS.map((name) => ({ name, problems: files.candidateSet(join(data, `${name}.jsonl.gz`)) })),
  {
    syntax: await createSyntax(),
    model,
    second: null,
    judge,
    rewards: openRowCache<Reward>(join(runs, "cache", `rewards-${model.info.sha256.slice(0, 12)}.jsonl`)),
    evidence: openRowCache<Evidence>(join(runs, "cache", "evidence.jsonl")),
  },
  {
    n: [N],
    reportN: N,
    seed: 0,
    selectors: [
      ...SELECTORS.filter((one) => ["random", "public-tests", "agreement", "consensus"].includes(one.name)),
      ...grid.map((weights) => hybrid(nameOf(weights), weights)),
      // What a repository without examples has: there are no generated inputs either.
      ...grid.map((weights) => hybrid(`nothing ran: ${nameOf(weights)}`, weights, ["examples", "agreement"])),
      ...ablations,
    ],
    // Not the training groups: the reward model knows their verdicts by heart and would get too much weight.
    split: "meta",
    within: "model",
    granularities: ["function"],
    limit: Number(limit),
    slots: cpus().length,
    onProgress: ({ set, problems }) => process.stderr.write(`\r${set}: ${problems} problems   `),
  },
);
process.stderr.write("\n");
const pass = (set: (typeof report)["pooled"], name: string) => set.selectors[name]?.[N]?.pass ?? Number.NaN;
const best = (score: (name: string) => number) =>
  grid.map((weights) => ({ weights, value: score(nameOf(weights)) })).sort((a, b) => b.value - a.value)[0]!;
for (const [name, figures] of Object.entries(report.pooled.selectors)) {
  const one = figures?.[N];
  if (one) console.log(name.padEnd(28), one.pass.toFixed(4), `[${one.ci.map((x) => x.toFixed(3)).join(", ")}]`);
}
console.log(
  "best where nothing ran",
  best((name) => pass(report.pooled, `nothing ran: ${name}`)),
);
console.log(
  "best on all",
  best((name) => pass(report.pooled, name)),
);
for (const left of report.sets) {
  const others = report.sets.filter((set) => set !== left && Number.isFinite(pass(set, "random")));
  const chosen = best((name) => others.reduce((sum, set) => sum + pass(set, name), 0) / others.length);
  console.log(
    `without ${left.set}: ${nameOf(chosen.weights)}; there ${pass(left, nameOf(chosen.weights)).toFixed(4)}, public tests ${pass(left, "public-tests").toFixed(4)}, random ${pass(left, "random").toFixed(4)}`,
  );
}
judge.dispose();
await model.dispose();
