/**
 * What the tests of a merged pull request say: of its own functions, and of every stored candidate of the issue that it
 * closes (issue H items 1 and 2). Everything runs in the sandbox, on trees at exact commits.
 */
import type { Candidate, ChangedFile } from "../domain/candidate.ts";
import { chainOfEdits } from "../domain/chain.ts";
import type { OutlineOf } from "../domain/cof-answer.ts";
import { modelVersion } from "../domain/finding.ts";
import { sha256 } from "../domain/ids.ts";
import { sanitizeIssueText } from "../domain/issue-text.ts";
import type { RepositoryTestRun } from "../domain/judge.ts";
import { canaryBeside, judgeMerged, resultsOf, resultsOnBase } from "../domain/merged-tests.ts";
import { type FunctionAt, functionId, type JudgedCandidate, type TestResult } from "../domain/outcome.ts";
import { applyEdits } from "../domain/patch.ts";
import { RENDER_VERSION, renderPrompt } from "../domain/render.ts";
import { compareTests, isTestOrRunnerFile } from "../domain/repository-tests.ts";
import { type ChangedFunction, type ReviewedFile, reviewedLanguage, scopeOfReview } from "../domain/review-scope.ts";
import type { Run } from "../domain/run.ts";
import type { Checkout, Judge, LabelledText, PullRequestFile, RepositoryTestRequest, Syntax } from "../ports.ts";
import { neighbours, VALIDATED_LANGUAGES } from "./review-change.ts";

export type JudgePullPorts = { judge: Judge | null; syntax: Syntax };

export type MergedTests = { command: string[] | null; environment: string | null; timeoutSeconds: number };

/**
 * Functions as the merged head has them, tests left out, with their texts as a review renders them.
 * @param said title and body of the pull request, then of the issues that it closes.
 */
export function functionsOfPull(
  syntax: Syntax,
  said: readonly string[],
  files: readonly ReviewedFile[],
): { functions: FunctionAt[]; texts: LabelledText[] } {
  const all = changedFunctions(syntax, files);
  const changed = all.filter((one) => !isTestOrRunnerFile(one.path));
  const statement = sanitizeIssueText(said.join("\n\n")).text;
  return {
    functions: changed.map(functionAt),
    texts: changed.flatMap((one) => {
      const prompt = renderPrompt(statement, neighbours(one, all));
      const text = (hash: string, rendered: string): LabelledText => ({
        function: functionId(one.path, one.name),
        candidate: null,
        hash,
        language: one.language,
        prompt,
        completions: [rendered],
        renderVersion: RENDER_VERSION,
      });
      const now = text(one.bodyHash, one.after!.rendered);
      return one.change === "modified" ? [now, text(sha256(one.before!.rendered), one.before!.rendered)] : [now];
    }),
  };
}

/** Changed files as they stand on both sides. */
export async function reviewedFiles(
  files: readonly PullRequestFile[],
  base: Checkout,
  head: Checkout,
): Promise<ReviewedFile[]> {
  return await Promise.all(
    files.map(async (file): Promise<ReviewedFile> => {
      const same = { path: file.path, previousPath: file.previousPath, unreadable: null };
      if (reviewedLanguage(file.path) === null) return { ...same, before: null, after: null };
      return {
        ...same,
        before: file.status === "added" ? null : await base.read(file.previousPath ?? file.path),
        after: file.status === "removed" ? null : await head.read(file.path),
      };
    }),
  );
}

/** `broke`: tests that pass on base and fail at the head, and new ones that fail. What fails on both is nobody's. */
export type PullRun = { head: TestResult[]; base: TestResult[]; broke: string[] };

/**
 * The merged head's tests on the head and, in place of base's own, on base: each twice, so that what flickers is known.
 * Null with the reason when they cannot run.
 */
export async function testPull(
  judge: Judge,
  trees: { base: Checkout; head: Checkout },
  files: readonly PullRequestFile[],
  functions: readonly FunctionAt[],
  settings: MergedTests,
  signal: AbortSignal,
): Promise<PullRun | { reason: string }> {
  const request = { ...settings, overlay: [], repeat: 2, trace: pathsOf(functions) };
  const head = await judge.runRepositoryTests({ ...request, root: trees.head.root }, signal);
  if (head.status !== "ran" || head.tests.length === 0) return { reason: whyNot(head) };
  const tests = await testsOf(files, trees.head);
  const base = await judge.runRepositoryTests({ ...request, root: trees.base.root, tests }, signal);
  if (base.status !== "ran") return { reason: whyNot(base) };
  const results = { head: resultsOf(head, null), base: resultsOnBase(base, head) };
  const failedOnBase = new Set(results.base.filter((one) => !isFine(one)).map((one) => one.id));
  const broke = results.head.filter((one) => !isFine(one) && !failedOnBase.has(one.id)).map((one) => one.id);
  return { ...results, broke };
}

/** Every stored candidate of one run that survived screening, judged by the merged head's tests on the run's own base. */
export async function judgeCandidatesOf(
  { judge, syntax }: { judge: Judge; syntax: Syntax },
  run: Run,
  candidates: readonly Candidate[],
  trees: { base: Checkout; head: Checkout },
  files: readonly PullRequestFile[],
  settings: MergedTests,
  signal: AbortSignal,
): Promise<{ judged: JudgedCandidate[]; texts: LabelledText[] }> {
  const tests = await testsOf(files, trees.head);
  const beside = tests.find(({ path, content }) => content !== null && /\.py$/.test(path) && /test/.test(path));
  const anyTest =
    beside?.path ?? (await trees.head.files()).find(({ path }) => /(^|\/)test_[^/]*\.py$/.test(path))?.path;
  if (anyTest === undefined) return { judged: [], texts: [] };
  const canary = canaryBeside(anyTest, `${run.id} ${trees.head.sha}`);
  const outlineOf: OutlineOf = (source) => syntax.outline(source, "python");
  const stored = candidates.filter((one) => one.status === "scored" && one.edits !== null);
  const request = (tree: Checkout): RepositoryTestRequest => ({
    ...settings,
    root: tree.root,
    overlay: [],
    tests,
    added: [canary],
    repeat: 1,
  });
  const head = await judge.runRepositoryTests(request(trees.head), signal);
  const base = await judge.runRepositoryTests(request(trees.base), signal);
  if (head.status !== "ran" || base.status !== "ran") return { judged: [], texts: [] };
  const applied = new Map<number, ChangedFile[] | null>();
  const runs = new Map<number, RepositoryTestRun | null>();
  for (const { index, edits } of stored) {
    const changed = await applyStored(syntax, { edits }, trees.base);
    applied.set(index, changed);
    const overlay = (changed ?? []).map(({ path, after }) => ({ path, content: after }));
    const trace = overlay.map(({ path }) => path);
    runs.set(
      index,
      changed === null
        ? null
        : await judge.runRepositoryTests({ ...request(trees.base), overlay, repeat: REPEATS, trace }, signal),
    );
  }
  const verdicts = judgeMerged(head, base, runs, canary);
  const statement = statementOf(run);
  const judged: JudgedCandidate[] = [];
  const texts: LabelledText[] = [];
  for (const { index, edits, score } of stored) {
    const changed = applied.get(index) ?? [];
    const found = verdicts.get(index)!;
    const functions = functionsOfCandidate(syntax, changed);
    judged.push({
      run: run.id,
      candidate: index,
      occasion: "merge",
      score,
      modelVersion: run.model && modelVersion(run.model),
      sha: trees.head.sha,
      ...found,
      tier: runs.get(index)?.tier ?? judge.sandbox.tier,
      attested: "in-process",
      logSha256: runs.get(index)?.logSha256 ?? "",
      functions,
    });
    const chain = chainOfEdits(edits!, changed, outlineOf);
    const last = chain.at(-1);
    if (last === undefined) continue;
    const id = functionId(last.step.path!, last.step.name);
    texts.push({
      function: id,
      candidate: { run: run.id, index },
      hash: functions.find((one) => one.id === id)?.hash ?? "",
      language: "python",
      prompt: renderPrompt(statement),
      completions: chain.map(({ rendered }) => rendered),
      renderVersion: RENDER_VERSION,
    });
  }
  return { judged, texts };
}

/** Whether a run is one of the share whose two best candidates are judged for the measure alone. The same run, the same answer. */
export function inShadow(runId: string, share: number): boolean {
  return Number.parseInt(sha256(`shadow ${runId}`).slice(0, 8), 16) / 2 ** 32 < share;
}

/**
 * The two best candidates by reward under base's own tests, whatever was chosen and why: whether the reward model ranked the
 * better one first, without the bias of only ever testing the first (issue H item 8).
 */
export async function judgeShadow(
  { judge, syntax }: { judge: Judge; syntax: Syntax },
  run: Run,
  candidates: readonly Candidate[],
  base: Checkout,
  settings: MergedTests,
  signal: AbortSignal,
): Promise<JudgedCandidate[]> {
  const best = candidates
    .filter((one) => one.status === "scored" && one.score !== null)
    .sort((a, b) => b.score! - a.score! || a.index - b.index)
    .slice(0, 2);
  const request = { ...settings, root: base.root };
  const before = await judge.runRepositoryTests({ ...request, overlay: [] }, signal);
  if (best.length < 2 || before.status !== "ran" || before.tests.length === 0) return [];
  const judged: JudgedCandidate[] = [];
  for (const candidate of best) {
    const changed = await applyStored(syntax, candidate, base);
    if (changed === null) return [];
    const overlay = changed.map(({ path, after }) => ({ path, content: after }));
    const ran = await judge.runRepositoryTests({ ...request, overlay, repeat: REPEATS }, signal);
    const { broke, fixed } = compareTests(before, ran);
    judged.push({
      run: run.id,
      candidate: candidate.index,
      occasion: "shadow",
      score: candidate.score,
      modelVersion: run.model && modelVersion(run.model),
      sha: base.sha,
      verdict: ran.verdict === "WRONG" && broke.length === 0 ? "PASS" : ran.verdict,
      label: null,
      reason: `breaks ${broke.length} and mends ${fixed.length} of base's own tests`,
      tier: ran.tier,
      attested: "in-process",
      logSha256: ran.logSha256,
      functions: functionsOfCandidate(syntax, changed),
      results: resultsOf(ran, null),
    });
  }
  return judged;
}

/** Security.md section 2, rule 5: three of three repeats agree. */
const REPEATS = 3;

/** Files as a stored candidate leaves them; null when its edits do not apply. */
export async function applyStored(
  syntax: Syntax,
  { edits }: Pick<Candidate, "edits">,
  base: Checkout,
): Promise<ChangedFile[] | null> {
  if (edits === null) return null;
  const patch = await applyEdits(
    edits,
    (path) => base.read(path),
    (source) => syntax.outline(source, "python"),
  );
  return patch.ok ? patch.files : null;
}

/** Functions that a stored candidate writes, as the log names them. */
export function functionsOfCandidate(syntax: Syntax, files: readonly ChangedFile[]): FunctionAt[] {
  const reviewed = files.map((file) => ({ ...file, previousPath: null, unreadable: null }));
  return changedFunctions(syntax, reviewed).map(functionAt);
}

function changedFunctions(syntax: Syntax, files: readonly ReviewedFile[]): ChangedFunction[] {
  const scope = scopeOfReview(files, (source, language) => syntax.outline(source, language), {
    validated: VALIDATED_LANGUAGES,
    ignored: () => false,
  });
  return scope.functions.filter((one) => one.after !== null);
}

function functionAt(one: ChangedFunction): FunctionAt {
  const at = { id: functionId(one.path, one.name), hash: one.bodyHash };
  return one.change === "modified" ? { ...at, before: sha256(one.before!.rendered) } : at;
}

/** Test files that the pull request changes, as the merged head has them. */
async function testsOf(
  files: readonly PullRequestFile[],
  head: Checkout,
): Promise<RepositoryTestRequest["tests"] & {}> {
  const gone = (path: string) => ({ path, content: null });
  const tests = await Promise.all(
    files
      .filter((file) => isTestOrRunnerFile(file.path))
      .map(async (file) => [
        ...(file.previousPath === null ? [] : [gone(file.previousPath)]),
        file.status === "removed" ? gone(file.path) : { path: file.path, content: await head.read(file.path) },
      ]),
  );
  return tests.flat();
}

function isFine(test: TestResult): boolean {
  return test.outcome === "passed" || test.outcome === "skipped";
}

function whyNot(run: RepositoryTestRun): string {
  return run.reason ?? "the runner names no test";
}

function pathsOf(functions: readonly FunctionAt[]): string[] {
  return [...new Set(functions.map(({ id }) => id.slice(0, id.indexOf("#"))))];
}

function statementOf(run: Run): string {
  const issue = run.issue ?? { title: "", body: "" };
  return [sanitizeIssueText(issue.title).text, sanitizeIssueText(issue.body).text]
    .filter((part) => part.trim() !== "")
    .join("\n\n");
}
