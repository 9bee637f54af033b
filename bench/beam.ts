/**
 * Is tree search worth building? Beam search that takes the next function from the other candidates by the reward of the
 * prefix, against Best-of-8, at no more scored steps: `node bench/beam.ts SET… [--split meta|validation|both]`.
 *
 * SET is a candidate set with a truth for every function (`classeval`: its own methods' tests; a set of `dataset mutate`: by
 * construction). Eight candidates with the same functions are drawn; a program put together from them is right when each of its
 * functions is. Steps are counted as different prefixes that the model had to score.
 */
import { basename } from "node:path";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { EMBEDDED_MODEL } from "../src/compose.ts";
import { type CandidateSetProblem, type SetCandidate, splitOf } from "../src/domain/dataset.ts";
import { sha256 } from "../src/domain/ids.ts";
import { renderPrompt, renderSteps } from "../src/domain/render.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";
import { bootstrap, groupSums, seeded } from "../src/evaluation/statistics.ts";

const N = 8;
const DRAWS = 8;
const WIDTHS = [8, 4, 3, 2, 1];
const args = process.argv.slice(2);
const at = args.indexOf("--split");
const split = at < 0 ? "both" : args.splice(at, 2)[1]!;
/** Chains of a problem that are drawn from: sets of candidates with the same functions. */
const MOST_CHAINS = 2;
if (args.length === 0) throw new Error("node bench/beam.ts SET… [--split meta|validation|both]");
const model = await openRewardModel(EMBEDDED_MODEL);
const syntax = await createSyntax();
const files = createFiles();

type Step = { text: string; own: number };
type Chain = Step[];

function chainOf(candidate: SetCandidate): { names: string; steps: Chain } | null {
  const outline = syntax.outline(candidate.code, "python");
  const file = segment(decodeSource(Buffer.from(candidate.code)), outline, null);
  const rendered = renderSteps(file, outline);
  const steps = file.steps.flatMap((step, index): Step[] => {
    const own = candidate.own?.[index] ?? candidate.methods?.[step.simpleName];
    // A constructor has no test of its own: what is wrong with it shows in the methods.
    if (own == null) return step.simpleName === "__init__" ? [{ text: rendered[index]!, own: 1 }] : [];
    return [{ text: rendered[index]!, own: Number(own) }];
  });
  return steps.length === file.steps.length && steps.length > 1
    ? { names: file.steps.map((step) => step.name).join(), steps }
    : null;
}

/** Rewards of prefixes of one problem, each scored once. */
function scorerOf(problem: CandidateSetProblem) {
  const prompt = renderPrompt(problem.prompt);
  const known = new Map<string, number>();
  const key = (steps: Chain) => sha256(JSON.stringify(steps.map((step) => step.text)));
  return async (prefixes: readonly Chain[], spent: Set<string>): Promise<number[]> => {
    const missing = [...new Map(prefixes.map((one) => [key(one), one])).entries()].filter(([id]) => !known.has(id));
    // The longest first: one pass gives every prefix of a chain.
    for (const [id, steps] of missing.sort(([, a], [, b]) => b.length - a.length)) {
      if (known.has(id)) continue;
      const [scored] = await model.score([{ id, prompt, completions: steps.map((step) => step.text) }]);
      for (let k = 0; k < steps.length; k++) known.set(key(steps.slice(0, k + 1)), scored!.rewards[k] ?? -1);
    }
    for (const one of prefixes) spent.add(key(one));
    return prefixes.map((one) => known.get(key(one))!);
  };
}
type Score = ReturnType<typeof scorerOf>;

const isRight = (steps: Chain) => Number(steps.every((step) => step.own === 1));
const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;

async function bestOfN(drawn: readonly Chain[], score: Score) {
  const spent = new Set<string>();
  const rewards: number[][] = [];
  for (const steps of drawn)
    rewards.push(
      await score(
        steps.map((_, k) => steps.slice(0, k + 1)),
        spent,
      ),
    );
  const means = rewards.map(mean);
  const best = drawn.filter((_, k) => means[k] === Math.max(...means));
  return { right: mean(best.map(isRight)), spent: spent.size };
}

type Beam = { steps: Chain; rewards: number[] };

/** Null as soon as it would score more steps than `most`. */
async function beamSearch(drawn: readonly Chain[], width: number, most: number, score: Score) {
  const spent = new Set<string>();
  let beams: Beam[] = [{ steps: [], rewards: [] }];
  for (let k = 0; k < drawn[0]!.length; k++) {
    const options = [...new Map(drawn.map((steps) => [steps[k]!.text, steps[k]!])).values()];
    const grown = beams.flatMap((beam) => options.map((option) => ({ ...beam, steps: [...beam.steps, option] })));
    if (spent.size + grown.length > most) return null;
    const values = await score(
      grown.map((one) => one.steps),
      spent,
    );
    beams = grown
      .map((one, index) => ({ steps: one.steps, rewards: [...one.rewards, values[index]!] }))
      .sort((a, b) => b.rewards[k]! - a.rewards[k]!)
      .slice(0, width);
  }
  const means = beams.map((one) => mean(one.rewards));
  const best = beams.filter((_, k) => means[k] === Math.max(...means));
  return { right: mean(best.map((one) => isRight(one.steps))), spent: spent.size };
}

type Row = { group: string; random: number; best: number; beam: number; reachable: number; steps: [number, number] };

/** Ctrl-C ends the set: what was drawn so far is shown. */
let stopped = false;
process.on("SIGINT", () => {
  stopped = true;
});

for (const path of args) {
  const rows: Row[] = [];
  for await (const problem of files.candidateSet(path)) {
    const side = splitOf(problem.group);
    if (stopped) break;
    if (side === "training" || (split !== "both" && side !== split)) continue;
    const byNames = Map.groupBy(
      problem.candidates.flatMap((one) => chainOf(one) ?? []),
      (one) => one.names,
    );
    const score = scorerOf(problem);
    let used = 0;
    for (const [names, all] of byNames) {
      const chains = all.map((one) => one.steps);
      if (stopped || chains.length < N || new Set(chains.map(isRight)).size < 2 || ++used > MOST_CHAINS) continue;
      for (let draw = 0; draw < DRAWS; draw++) {
        const random = seeded(Number.parseInt(sha256(`${draw}|${problem.problem_id}|${names}`).slice(0, 8), 16));
        const drawn = chains
          .map((steps) => ({ steps, place: random() }))
          .sort((a, b) => a.place - b.place)
          .slice(0, N)
          .map((one) => one.steps);
        const best = await bestOfN(drawn, score);
        // The widest beam that scores no more steps.
        let beam: Awaited<ReturnType<typeof beamSearch>> = null;
        for (const width of WIDTHS) beam ??= await beamSearch(drawn, width, best.spent, score);
        if (beam === null) throw new Error("a beam of one scores no more than the candidates themselves");
        rows.push({
          group: problem.group,
          random: mean(drawn.map(isRight)),
          best: best.right,
          beam: beam.right,
          reachable: Number(drawn[0]!.every((_, k) => drawn.some((steps) => steps[k]!.own === 1))),
          steps: [best.spent, beam.spent],
        });
      }
      process.stderr.write(`\r${basename(path)}: ${rows.length / DRAWS} chains   `);
    }
  }
  process.stderr.write("\n");
  const show = (of: (row: Row) => number) => {
    const found = bootstrap(groupSums(rows.map((row) => [row.group, of(row)])));
    return found
      ? `${found.value.toFixed(3)} [${found.ci[0].toFixed(3)}, ${found.ci[1].toFixed(3)}] (${found.problems} problems)`
      : "none";
  };
  console.log(
    `${basename(path)}, ${split === "both" ? "meta and validation" : split} groups, ${rows.length} draws of ${N}`,
  );
  console.log(`  random                ${show((row) => row.random)}`);
  console.log(`  Best-of-${N}             ${show((row) => row.best)}, ${show((row) => row.steps[0])} scored steps`);
  console.log(`  beam                  ${show((row) => row.beam)}, ${show((row) => row.steps[1])} scored steps`);
  console.log(`  beam minus Best-of-${N}  ${show((row) => row.beam - row.best)}`);
  console.log(
    `  Best-of-${N} has a right one ${show((row) => Number(row.random > 0))}, the beam could put one together ${show((row) => row.reachable)}`,
  );
}
await model.dispose();
