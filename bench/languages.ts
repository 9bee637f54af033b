/**
 * Within-problem AUC of a bundle on languages it was never trained on: `node bench/languages.ts FOLDER` (shared/data). A
 * language gets into VALIDATED_LANGUAGES only when its interval lies above 0.5 as Python's does. Candidates of languages
 * without a grammar here are one step each.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createFiles } from "../src/adapters/files/files.ts";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { type CandidateSetProblem, isConstructed, languageOf, poolOf, splitOf } from "../src/domain/dataset.ts";
import { sha256 } from "../src/domain/ids.ts";
import { renderStep, renderSteps } from "../src/domain/render.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";
import { bootstrap, groupSums, pairAuc } from "../src/evaluation/statistics.ts";
import { scoreSteps } from "../src/flows/score-candidates.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: join(import.meta.dirname, "../models/funprm-mini") },
    candidates: { type: "string", default: "160" },
    sets: {
      type: "string",
      default: "canaicode_javascript,humanevalfix_other_langs,humanevalfix_python,canaicode_python",
    },
  },
});
const folder = positionals[0];
if (folder === undefined) throw new Error("name the folder of the candidate sets");
const files = createFiles();
const syntax = await createSyntax();
const model = await openRewardModel(values.model);

function stepsOf(code: string, language: string): { rendered: string; signature: string }[] {
  if (language !== "python" && language !== "javascript") return [{ rendered: renderStep(code, []), signature: "" }];
  const outline = syntax.outline(code, language);
  const file = segment(decodeSource(Buffer.from(code)), outline, null);
  const rendered = renderSteps(file, outline);
  return file.steps.map((step, at) => ({ rendered: rendered[at]!, signature: step.signature }));
}

const rows = new Map<string, [string, number][]>();
let scored = 0;

async function measure(problem: CandidateSetProblem): Promise<void> {
  const language = languageOf(problem);
  const drawn = problem.candidates
    .filter((one) => one.passed !== null)
    .toSorted((a, b) => (sha256(a.id + a.code) < sha256(b.id + b.code) ? -1 : 1))
    .slice(0, Number(values.candidates));
  const chains = drawn.map((one, at) => ({ id: String(at), steps: stepsOf(one.code, language) }));
  const scores = (await scoreSteps(model, problem.prompt, chains)).map((one) => one.score ?? -1);
  scored += chains.length;
  process.stderr.write(`\r${scored} candidates`);
  // Inside one model and prompt variant where there is one: in a mixed pool a scorer wins by recognising the model.
  const pools = Map.groupBy(drawn.keys(), (at) => poolOf(problem.set, drawn[at]!));
  const found: { label: string; members: number[] }[] = [{ label: "pooled", members: [...drawn.keys()] }];
  if (!isConstructed(problem.set))
    for (const members of pools.values()) found.push({ label: "inside a model", members });
  for (const { label, members } of found) {
    const auc = pairAuc(
      members.map((at) => scores[at]!),
      members.map((at) => (drawn[at]!.passed ? 1 : 0)),
    );
    const key = `${problem.set} (${language}), ${label}`;
    if (auc !== null) rows.set(key, [...(rows.get(key) ?? []), [problem.group, auc]]);
  }
}

// Python was trained on: only its validation problems say anything.
for (const set of values.sets.split(","))
  for await (const problem of files.candidateSet(join(folder, `${set}.jsonl.gz`)))
    if (languageOf(problem) !== "python" || splitOf(problem.group) === "validation") await measure(problem);
await model.dispose();
process.stderr.write("\n");
console.log(`model ${model.info.name} ${model.info.version}, ${scored} candidates`);
for (const [key, aucs] of rows) {
  const { value, ci, problems } = bootstrap(groupSums(aucs))!;
  console.log(`${key}: AUC ${value.toFixed(3)} [${ci[0].toFixed(3)}, ${ci[1].toFixed(3)}], ${problems} problems`);
}
