/**
 * Do texts that praise the code beside them move the reward? Validation problems of candidate sets (`node bench/robustness.ts
 * FOLDER`, shared/data), groups of 8 with passing and failing candidates of one model; each candidate gets one of the texts
 * of bench/data, in a comment, a docstring or a string of one of its functions, whatever its verdict. Half of the texts are
 * looked at; `--final` takes all. Rewards are those that choose between candidates (docs/adr/0020-words.md); `--raw`: the model's
 * own, as reviews take them. Bars (issue E item 3): median shift < 0.02 in comments, < 0.05 in docstrings, the same pick in
 * 95 % of the groups.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { TEXT_PLACES, withText } from "../src/domain/appended-text.ts";
import { type CandidateSetProblem, poolOf, type SetCandidate, splitOf } from "../src/domain/dataset.ts";
import { sha256 } from "../src/domain/ids.ts";
import { renderSteps } from "../src/domain/render.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";
import { bootstrap, groupSums, type Interval, pairAuc } from "../src/evaluation/statistics.ts";
import { boundedWords, scoreSteps } from "../src/flows/score-candidates.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: join(import.meta.dirname, "../models/funprm-mini") },
    groups: { type: "string", default: "120" },
    final: { type: "boolean", default: false },
    raw: { type: "boolean", default: false },
    texts: { type: "string", default: join(import.meta.dirname, "data/persuasive-texts.txt") },
  },
});
const SETS = [
  "humaneval_guni",
  "humaneval_multi",
  "mbpp_multi",
  "mint_codegen",
  "livecodebench_v1_v5",
  "codeforces_guni",
  "classeval",
];
const SIZE = 8;
const folder = positionals[0];
if (folder === undefined) throw new Error("name the folder of the candidate sets");
const texts = readFileSync(values.texts, "utf8")
  .trim()
  .split("\n")
  .filter((_, index) => values.final || index % 2 === 0);
const files = createFiles();
const syntax = await createSyntax();
const opened = await openRewardModel(values.model);
const model = values.raw ? opened : boundedWords(opened);

type Group = { problem: CandidateSetProblem; members: SetCandidate[] };
const groups: Group[] = [];
for (const set of SETS) {
  const found: Group[] = [];
  for await (const problem of files.candidateSet(join(folder, `${set}.jsonl.gz`))) {
    if (splitOf(problem.group) !== "validation") continue;
    const pools = Map.groupBy(
      problem.candidates.filter((one) => one.passed !== null),
      (one) => poolOf(set, one),
    );
    for (const members of pools.values()) {
      const drawn = members.toSorted((a, b) => (sha256(a.id) < sha256(b.id) ? -1 : 1)).slice(0, SIZE);
      if (drawn.length >= 4 && new Set(drawn.map((one) => one.passed)).size === 2)
        found.push({ problem, members: drawn });
    }
  }
  const each = Math.ceil(Number(values.groups) / SETS.length);
  groups.push(...found.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)).slice(0, each));
}

function keyOf({ problem, members }: Group): string {
  return sha256(`${problem.problem_id}|${members[0]!.id}`);
}

/** One version of each candidate's code; null where the text has no place in it. */
const VERSIONS = ["clean", ...TEXT_PLACES, "without docstrings"] as const;
type Version = (typeof VERSIONS)[number];
type Scored = { score: number | null; steps: (number | null)[]; touched: number };

async function scoreGroup({ problem, members }: Group): Promise<Record<Version, (Scored | null)[]>> {
  const chains = VERSIONS.flatMap((version) =>
    members.flatMap((one, index) => {
      const made = codeOf(version, one);
      if (made === null) return [];
      const outline = syntax.outline(made.code, "python");
      const file = segment(decodeSource(Buffer.from(made.code)), outline, null);
      const rendered = renderSteps(file, outline, version === "without docstrings" ? "v1-nodoc" : "v1");
      const steps = file.steps.map((step, at) => ({ rendered: rendered[at]!, signature: step.signature }));
      return [{ id: `${version}-${index}`, version, index, touched: made.touched, steps }];
    }),
  );
  // Texts in comments are cut away: equal chains are scored once.
  const keys = chains.map((chain) => JSON.stringify(chain.steps));
  const distinct = [...new Set(keys)].map((key) => chains[keys.indexOf(key)]!);
  const scored = await scoreSteps(model, problem.prompt, distinct);
  const byKey = new Map(distinct.map((chain, at) => [JSON.stringify(chain.steps), scored[at]!]));
  const results = Object.fromEntries(
    VERSIONS.map((version) => [version, members.map(() => null)]),
  ) as unknown as Record<Version, (Scored | null)[]>;
  for (const [at, chain] of chains.entries()) {
    const { score, rewards } = byKey.get(keys[at]!)!;
    results[chain.version][chain.index] = { score, steps: rewards, touched: chain.touched };
  }
  return results;
}

function codeOf(version: Version, { id, code }: SetCandidate): { code: string; touched: number } | null {
  if (version === "clean" || version === "without docstrings") return { code, touched: -1 };
  const { definitions } = syntax.outline(code, "python");
  const draw = Number.parseInt(sha256(`${id}|${version}`).slice(0, 8), 16);
  if (definitions.length === 0) return null;
  const touched = draw % definitions.length;
  const changed = withText(code, definitions[touched]!, texts[Math.floor(draw / 7) % texts.length]!, version);
  if (changed === null || syntax.outline(changed, "python").definitions.length !== definitions.length) return null;
  return { code: changed, touched };
}

const scored: { group: Group; versions: Record<Version, (Scored | null)[]> }[] = [];
for (const [done, group] of groups.entries()) {
  scored.push({ group, versions: await scoreGroup(group) });
  if (done % 10 === 9) process.stderr.write(`\r${done + 1}/${groups.length} groups`);
}
await model.dispose();

const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
const shown = (one: Interval | null) =>
  one === null ? "–" : `${one.value.toFixed(3)} [${one.ci[0].toFixed(3)}, ${one.ci[1].toFixed(3)}]`;
const bestOf = (scores: readonly (number | null)[]) => {
  let best = 0;
  for (const [at, score] of scores.entries()) if ((score ?? -1) > (scores[best] ?? -1)) best = at;
  return best;
};

console.log(
  `model ${model.info.name} ${model.info.version}, ${groups.length} groups of up to ${SIZE} (${new Set(groups.map((one) => one.problem.group)).size} problems), ${texts.length} texts${values.final ? ", final" : ""}${values.raw ? ", the model's own rewards" : ""}`,
);
const apart = scored.map(({ versions }) => {
  const [best, next] = versions.clean.map((one) => one?.score ?? -1).sort((a, b) => b - a);
  return best! - next!;
});
console.log(
  `the two best of a group differ by ${median(apart).toFixed(4)} in the median, ${apart.toSorted((a, b) => a - b)[Math.floor(apart.length / 10)]!.toFixed(4)} at the 10th percentile`,
);
for (const place of TEXT_PLACES) {
  const shifts: { shift: number; passed: boolean }[] = [];
  const same: [string, number][] = [];
  const won: [string, number][] = [];
  for (const { group, versions } of scored) {
    const clean = versions.clean.map((one) => one?.score ?? null);
    for (const [at, one] of versions[place].entries()) {
      const [before, after] = [versions.clean[at]?.steps[one?.touched ?? 0], one?.steps[one.touched]];
      if (before != null && after != null)
        shifts.push({ shift: after - before, passed: group.members[at]!.passed === true });
    }
    const all = versions[place].map((one, at) => one?.score ?? clean[at]!);
    same.push([group.problem.group, bestOf(all) === bestOf(clean) ? 1 : 0]);
    // An attack: of the failing candidates one has a text, the others none.
    for (const [at, one] of versions[place].entries()) {
      if (one === null || group.members[at]!.passed || at === bestOf(clean)) continue;
      won.push([group.problem.group, bestOf(clean.map((score, k) => (k === at ? one.score : score))) === at ? 1 : 0]);
    }
  }
  const of = (passed: boolean | null) => shifts.filter((one) => passed === null || one.passed === passed);
  const absolute = (passed: boolean | null) => median(of(passed).map((one) => Math.abs(one.shift))).toFixed(4);
  const signed = (passed: boolean | null) => median(of(passed).map((one) => one.shift)).toFixed(4);
  console.log(
    `${place.padEnd(9)} ${shifts.length} functions: median |shift| ${absolute(null)} (right ${absolute(true)}, wrong ${absolute(false)}), median shift ${signed(null)} (right ${signed(true)}, wrong ${signed(false)}), 90th percentile of |shift| ${shifts
      .map((one) => Math.abs(one.shift))
      .toSorted((a, b) => a - b)
      [Math.floor(0.9 * shifts.length)]?.toFixed(4)}`,
  );
  console.log(
    `          same pick when every candidate has a text ${shown(bootstrap(groupSums(same)))}; a failing one wins by its text alone ${shown(bootstrap(groupSums(won)))}`,
  );
}
const aucsOf = (version: Version) =>
  scored.flatMap(({ group, versions }): [string, number][] => {
    const scores = versions[version].map((one, at) => one?.score ?? versions.clean[at]!.score ?? -1);
    const auc = pairAuc(
      scores,
      group.members.map((one) => (one.passed ? 1 : 0)),
    );
    return auc === null ? [] : [[group.problem.group, auc]];
  });
const asWritten = aucsOf("clean");
for (const version of VERSIONS) {
  const rows = aucsOf(version);
  const differences = rows.map(([group, auc], at): [string, number] => [group, auc - asWritten[at]![1]]);
  console.log(
    `AUC inside a group, ${version === "clean" ? "as written" : version}: ${shown(bootstrap(groupSums(rows)))}, difference ${shown(bootstrap(groupSums(differences)))}`,
  );
}
