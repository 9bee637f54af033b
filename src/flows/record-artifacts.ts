/**
 * What a repository's own CI said of a merged head and its base: tests and coverage of the artifacts that its settings name
 * (product.md 4.9, ADR 15). Unknown is never a negative: what cannot be read whole is left out and said in the log.
 */
import { FunprmError } from "../domain/errors.ts";
import {
  type FunctionAt,
  functionId,
  type OutcomeEvent,
  ofKind,
  outcomeOf,
  type TestResult,
} from "../domain/outcome.ts";
import type { RepoConfig } from "../domain/repo-config.ts";
import { reviewedLanguage } from "../domain/review-scope.ts";
import {
  ARTIFACT_KINDS,
  addRanBy,
  codeOfAttempt,
  emptyReport,
  type FunctionAtLine,
  fileOfTree,
  RUN_OF,
  resultsOfReport,
  type TestReport,
  touching,
  type WorkflowAttempt,
} from "../domain/test-report.ts";
import type {
  Artifacts,
  Checkout,
  Clock,
  GitHost,
  LearningStore,
  Log,
  RepoRef,
  RunArtifact,
  Syntax,
  Workspace,
} from "../ports.ts";

export type RecordArtifactsPorts = {
  host: GitHost;
  artifacts: Artifacts;
  learning: LearningStore;
  workspace: Workspace;
  syntax: Syntax;
  clock: Clock;
  log: Log;
  /** Whether a glob fits the name of an artifact. */
  matches(glob: string, name: string): boolean;
};

type Wanted = RepoConfig["learn"]["artifacts"];
type Attempt = WorkflowAttempt & { artifacts: RunArtifact[] | null };
/** `final`: the commit that the merge left on the default branch; null where GitHub names none. */
type Facts = { head: string; base: string; final: string | null; functions: readonly FunctionAt[] };

/** Bytes of all zips of one commit together. */
const MOST_BYTES = 256 * 1024 * 1024;

/** Appends what the artifacts of a merged pull request say, when the log has it and it can be graded at all. */
export async function recordArtifacts(
  ports: RecordArtifactsPorts,
  ref: RepoRef,
  number: number,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<void> {
  if (wanted.length === 0) return;
  const { host, learning, workspace, clock } = ports;
  const known = await learning.events(ref.repositoryId, number);
  const facts = gradable(known, clock.now().getTime());
  if (facts === null) return;
  const { cloneUrl } = await host.repository(ref);
  const results: { sha: string; attempt: Attempt; of: ReturnType<typeof resultsOfReport> }[] = [];
  const trees = new Map<string, Checkout>();
  try {
    for (const sha of new Set([facts.head, facts.final ?? facts.head, facts.base])) {
      const attempts = (await attemptsAt(ports, ref, sha)).map((one) => ({
        ...one,
        code: codeOfAttempt(one, { sha, ...facts }, ref.repositoryId),
      }));
      for (const [, ofRun] of Map.groupBy(attempts, ({ run }) => run)) {
        const code = ofRun.find((one) => one.code !== null)?.code ?? null;
        if (code === null) continue;
        // What a merge left alone has the head's lines: the head's tree serves for all but the base.
        const at = sha === facts.base ? sha : facts.head;
        const token = await host.readToken(ref);
        const tree = trees.get(at) ?? (await workspace.checkout({ kind: "remote", cloneUrl, sha: at, token }, signal));
        trees.set(at, tree);
        const exact = await functionsByLine(ports.syntax, tree, facts.functions, ref.repo);
        const functionAt = code === "exact" ? exact : await sameAfterMerge(ports, ref, tree, facts, exact);
        for (const { attempt, report } of await reportsOf(ports, ref, ofRun, wanted, functionAt, signal)) {
          const green = attempt.conclusion === "success";
          results.push({ sha, attempt, of: resultsOfReport(report, { onBase: sha === facts.base, green }) });
        }
      }
    }
  } finally {
    for (const tree of trees.values()) await tree.dispose();
  }
  const at = clock.now().getTime();
  const events = ARTIFACT_KINDS.flatMap((kind) =>
    touching(results.map(({ of }) => of[kind])).flatMap((some, index) =>
      some.length === 0 ? [] : [eventOf(results[index]!, RUN_OF[kind], some, at)],
    ),
  );
  // With who opened it: they may have been removed meanwhile, and then nothing more may be written.
  const [opened] = ofKind(known, "opened");
  const { installationId, repositoryId } = ref;
  if (events.length === 0) return;
  await learning.append({ installationId, repositoryId, pullRequest: number }, [opened!, ...events]);
  ports.log.info("artifacts of CI read", { repository: repositoryId, pullRequest: number, runs: events.length });
}

/** None where the installation may not read them, as one that has not accepted a new permission yet. */
async function attemptsAt({ host, log }: RecordArtifactsPorts, ref: RepoRef, sha: string): Promise<Attempt[]> {
  try {
    return await host.workflowAttempts(ref, sha);
  } catch (error) {
    if (!(error instanceof FunprmError) || error.kind === "transient") throw error;
    log.warn("artifacts of CI cannot be read", { repository: ref.repositoryId, sha, reason: error.message });
    return [];
  }
}

/** Whether the log has results of artifacts at the pull request's head. */
export function hasArtifactResults(events: readonly OutcomeEvent[], head: string): boolean {
  const names = Object.values(RUN_OF);
  return ofKind(events, "tests").some(({ sha, run }) => sha === head && names.some((name) => run.startsWith(name)));
}

/** Null: not merged, or what it changes decides its own checks, so that no label comes of it. */
function gradable(known: readonly OutcomeEvent[], now: number): Facts | null {
  const { head, base, ciChanged, mergedAt } = outcomeOf(known, now);
  const merged = ofKind(known, "merged")[0];
  const functions = ofKind(known, "changes").findLast((one) => one.head === head)?.functions ?? [];
  if (head === null || base === null || mergedAt === null || ciChanged !== false || functions.length === 0) return null;
  return { head, base, final: merged?.final.at(-1) ?? null, functions };
}

function eventOf(
  { sha, attempt }: { sha: string; attempt: Attempt },
  name: string,
  results: TestResult[],
  at: number,
): OutcomeEvent {
  const run = `${name} ${attempt.run}`;
  return {
    id: `tests:${sha}:${run}:${attempt.attempt}`,
    ...{ at, actor: "github", kind: "tests", sha, run, attempt: attempt.attempt, results },
  };
}

/**
 * What each attempt of one workflow run left, together. All of the run or nothing: a part that is missing may be the one that
 * says otherwise.
 */
async function reportsOf(
  ports: RecordArtifactsPorts,
  ref: RepoRef,
  attempts: readonly (Attempt & { code: "exact" | "merged" | null })[],
  wanted: Wanted,
  functionAt: FunctionAtLine,
  signal: AbortSignal,
): Promise<{ attempt: Attempt; report: TestReport }[]> {
  const { host, artifacts, log } = ports;
  const standing = attempts.filter(({ code }) => code !== null);
  if (standing.length === 0) return [];
  const leftOut = (reason: string) => {
    log.warn("artifacts of CI left out", { repository: ref.repositoryId, run: attempts[0]!.run, reason });
    return [];
  };
  if (attempts.some((one) => one.artifacts === null)) return leftOut("too many runs, attempts or artifacts");
  const named = standing.map((attempt) => ({
    attempt,
    of: wanted.flatMap(({ name, kind }) =>
      attempt.artifacts!.filter((one) => ports.matches(name, one.name)).map((artifact) => ({ kind, artifact })),
    ),
  }));
  if (named.every(({ of }) => of.length === 0)) return [];
  if (named.some(({ attempt, of }) => attempt.conclusion === "failure" && of.length === 0))
    return leftOut("an attempt failed and left none");
  if (named.flatMap(({ of }) => of).reduce((sum, { artifact }) => sum + artifact.bytes, 0) > MOST_BYTES)
    return leftOut(`more than ${MOST_BYTES} bytes`);
  const found: { attempt: Attempt; report: TestReport }[] = [];
  for (const { attempt, of } of named) {
    const report = emptyReport();
    for (const { kind, artifact } of of) {
      signal.throwIfAborted();
      try {
        const zip = await host.artifact(ref, artifact);
        if (zip === null) return leftOut(`${artifact.name} has expired`);
        addTo(report, await artifacts.read(zip, kind, functionAt, signal));
      } catch (error) {
        if (!(error instanceof FunprmError) || error.kind === "transient") throw error;
        return leftOut(`${artifact.name}: ${error.message}`);
      }
    }
    if (of.length > 0) found.push({ attempt, report });
  }
  return found;
}

function addTo(all: TestReport, part: TestReport): void {
  for (const test of part.tests) all.tests.push(test);
  for (const id of part.ran) all.ran.add(id);
  for (const [id, tests] of part.ranBy) addRanBy(all, id, tests);
}

/** Which of the functions has a line of its body there. Its decorators and the line of its `def` run when the module is imported. */
async function functionsByLine(
  syntax: Syntax,
  tree: Checkout,
  functions: readonly FunctionAt[],
  repo: string,
): Promise<FunctionAtLine> {
  const known = new Set(functions.map(({ id }) => id));
  const files = (await tree.files()).map(({ path }) => path);
  const bodies = new Map<string, Map<number, string>>();
  for (const path of new Set([...known].map(pathOf))) {
    // The other languages' functions are in no log (`VALIDATED_LANGUAGES`), and say otherwise what runs with the module.
    const bytes = reviewedLanguage(path) === "python" ? await tree.read(path) : null;
    if (bytes === null) continue;
    const source = new TextDecoder().decode(bytes);
    const lines = source.split("\n");
    const byLine = new Map<number, string>();
    for (const { name, startLine, endLine } of syntax.outline(source, "python").definitions) {
      const id = functionId(path, name);
      if (!known.has(id)) continue;
      let header = startLine;
      while (header < endLine && !/^\s*(async\s+)?def\b/.test(lines[header - 1]!)) header += 1;
      for (let line = header + 1; line <= endLine; line++) byLine.set(line, id);
    }
    bodies.set(path, byLine);
  }
  const resolved = new Map<string, string | null>();
  return (path, line) => {
    const file = resolved.has(path) ? resolved.get(path)! : fileOfTree(path, files, repo);
    resolved.set(path, file);
    return file === null ? null : (bodies.get(file)?.get(line) ?? null);
  };
}

/** Of the functions by line only those in files that the merged commit has as the head has them. */
async function sameAfterMerge(
  { host }: RecordArtifactsPorts,
  ref: RepoRef,
  head: Checkout,
  { final, functions }: Facts,
  functionAt: FunctionAtLine,
): Promise<FunctionAtLine> {
  const same = new Set<string>();
  if (final === null) return () => null;
  for (const path of new Set(functions.map(({ id }) => pathOf(id)))) {
    const [before, after] = [await head.read(path), await host.readFile(ref, path, final)];
    if (before !== null && after !== null && Buffer.compare(before, after) === 0) same.add(path);
  }
  return (path, line) => {
    const id = functionAt(path, line);
    return id !== null && same.has(pathOf(id)) ? id : null;
  };
}

function pathOf(id: string): string {
  return id.slice(0, id.indexOf("#"));
}
