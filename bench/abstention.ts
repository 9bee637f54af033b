/**
 * The risk–coverage curve that the threshold of solves is chosen from: on the meta groups, judged on the validation groups.
 * `node bench/abstention.ts DATA RUNS`: DATA is the folder of candidate sets, RUNS keeps what was scored and run.
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRowCache } from "../src/adapters/files/row-cache.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { EMBEDDED_MODEL } from "../src/compose.ts";
import { ABSTAIN_BELOW, CONFIDENCE, type EvidenceLevel, evidenceLevel } from "../src/domain/confidence.ts";
import { judgePools } from "../src/evaluation/judge-pools.ts";
import { hybrid } from "../src/evaluation/selectors.ts";
import { bootstrap } from "../src/evaluation/statistics.ts";
import { loadSet, type Reward } from "../src/flows/evaluate-sets.ts";
import type { Evidence } from "../src/flows/gather-evidence.ts";

const [data, runs] = process.argv.slice(2);
if (!data || !runs) throw new Error("node bench/abstention.ts DATA RUNS");
const SETS = ["humaneval_guni", "humaneval_codet", "humaneval_multi", "mint_codegen", "codeforces_guni"];
const N = 8;
const SEEDS = 20;
const LEVELS: EvidenceLevel[] = ["met", "none", "unmet"];
const model = await openRewardModel(EMBEDDED_MODEL);
const judge = await createSandboxJudge({ weakestTier: 2 });
const files = createFiles();
const ports = {
  syntax: await createSyntax(),
  model,
  second: null,
  judge,
  rewards: openRowCache<Reward>(join(runs, "cache", `rewards-${model.info.sha256.slice(0, 12)}.jsonl`)),
  evidence: openRowCache<Evidence>(join(runs, "cache", "evidence.jsonl")),
};

type Pick = { group: string; level: EvidenceLevel; right: boolean };

async function picksOf(split: "meta" | "validation"): Promise<Pick[]> {
  const picks: Pick[] = [];
  for (const name of SETS) {
    const settings = { n: [N], reportN: N, seed: 0, selectors: [hybrid("hybrid")] };
    const set = await loadSet({ name, problems: files.candidateSet(join(data!, `${name}.jsonl.gz`)) }, ports, {
      ...settings,
      split,
      within: "model",
      granularities: ["function"],
      limit: null,
      slots: cpus().length,
      onProgress: ({ set: at, problems }) => process.stderr.write(`\r${split} ${at}: ${problems} problems   `),
    });
    for (let seed = 0; seed < SEEDS; seed++)
      for (const { pool, outcomes } of judgePools(set.pools, set.verdicts, { ...settings, seed })) {
        const once = outcomes.get("hybrid")?.get(N)?.once;
        if (!once) continue;
        const { examples } = pool.members[once.member]!;
        picks.push({ group: pool.group, level: evidenceLevel({ tests: null, examples }), right: once.pass });
      }
  }
  process.stderr.write("\n");
  return picks;
}

/** Every problem weighs the same, whatever its number of pools. */
function share(picks: readonly Pick[], of: (pick: Pick) => number, where: (pick: Pick) => boolean = () => true) {
  const groups = Map.groupBy(picks, (pick) => pick.group);
  const sums = [...groups].map(([group, all]) => ({
    group,
    numerator: all.filter(where).reduce((sum, pick) => sum + of(pick), 0) / all.length,
    denominator: all.filter(where).length / all.length,
  }));
  const found = bootstrap(sums);
  return found === null
    ? "none"
    : `${found.value.toFixed(3)} [${found.ci[0].toFixed(3)}, ${found.ci[1].toFixed(3)}] (${found.problems} problems)`;
}

for (const split of ["meta", "validation"] as const) {
  const picks = await picksOf(split);
  console.log(`${split}: Best-of-${N} of the hybrid rule, ${SEEDS} draws of each pool`);
  for (const level of LEVELS)
    console.log(
      `  ${level.padEnd(6)} right ${share(
        picks,
        (pick) => Number(pick.right),
        (pick) => pick.level === level,
      )}`,
    );
  for (let open = 1; open <= LEVELS.length; open++) {
    const levels = LEVELS.slice(0, open);
    const opened = (pick: Pick) => levels.includes(pick.level);
    console.log(
      `  opened: ${levels.join(", ").padEnd(17)} coverage ${share(picks, (pick) => Number(opened(pick)))}, of the opened right ${share(picks, (pick) => Number(pick.right), opened)}, right minus wrong ${share(picks, (pick) => (opened(pick) ? (pick.right ? 1 : -1) : 0))}`,
    );
  }
}
console.log(
  `in force: ${LEVELS.map((level) => `${level} ${CONFIDENCE[level]}`).join(", ")}; nothing is opened below ${ABSTAIN_BELOW}`,
);
judge.dispose();
await model.dispose();
