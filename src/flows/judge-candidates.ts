/** Thousands of candidates through the judge: every pair of program and tests once, doubtful verdicts again and alone. */
import { sha256 } from "../domain/ids.ts";
import type { JudgeOptions, JudgeProblem, JudgeVerdict } from "../domain/judge.ts";
import type { Judge } from "../ports.ts";

export type JudgeTask = {
  problem: JudgeProblem;
  candidate: { code: string; language: "python" | "javascript" };
};

export type JudgeBatch = {
  /** In the order of the tasks, whatever order they ended in. */
  verdicts: JudgeVerdict[];
  /** Times a candidate was run, repeats of doubtful ones apart. */
  executions: number;
  /** Different pairs of program and tests among the tasks. */
  unique: number;
  /** Doubtful verdicts (time-outs under load, INFRA) that were run again alone. */
  rerun: number;
};

/**
 * As many at once as `slots`. Equal programs with equal tests run once. A time-out that load could explain, and INFRA, are
 * run once more with nothing beside them before they count.
 */
export async function judgeCandidates(
  judge: Judge,
  tasks: readonly JudgeTask[],
  options: JudgeOptions & { slots: number; onProgress?: (done: number, all: number) => void },
  signal?: AbortSignal,
): Promise<JudgeBatch> {
  const { slots, onProgress, ...judging } = options;
  const byKey = new Map<string, { task: JudgeTask; verdict: JudgeVerdict | null }>();
  const keys = tasks.map((task) => {
    const key = pairKey(task);
    if (!byKey.has(key)) byKey.set(key, { task: { ...task, problem: distinctCases(task.problem) }, verdict: null });
    return key;
  });
  const work = [...byKey.values()];
  let next = 0;
  let done = 0;
  const slot = async () => {
    while (next < work.length) {
      const one = work[next++]!;
      one.verdict = await judge.judge(one.task.problem, one.task.candidate, judging, signal);
      done += 1;
      onProgress?.(done, work.length);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, slots) }, slot));
  const doubtful = work.filter(({ verdict }) => verdict!.verdict === "INFRA" || verdict!.contended);
  for (const one of doubtful) {
    one.verdict = await judge.judge(one.task.problem, one.task.candidate, judging, signal);
  }
  const verdicts = keys.map((key, index) => expand(tasks[index]!.problem, byKey.get(key)!.verdict!));
  return { verdicts, executions: work.length, unique: byKey.size, rerun: doubtful.length };
}

/** Equal for equal programs under equal tests. */
export function pairKey(task: JudgeTask): string {
  return sha256(JSON.stringify([task.candidate.language, task.candidate.code, task.problem]));
}

/** A case that stands twice is run once. */
function distinctCases(problem: JudgeProblem): JudgeProblem {
  if (problem.io === "tests") return problem;
  const cases = new Map<string, (typeof problem.cases)[number]>();
  for (const one of problem.cases) if (!cases.has(JSON.stringify(one))) cases.set(JSON.stringify(one), one);
  return { ...problem, cases: [...cases.values()] } as JudgeProblem;
}

function expand(problem: JudgeProblem, verdict: JudgeVerdict): JudgeVerdict {
  if (problem.io === "tests") return verdict;
  const places = new Map<string, number>();
  const cases = problem.cases.map((one) => {
    const key = JSON.stringify(one);
    if (!places.has(key)) places.set(key, places.size);
    return verdict.cases[places.get(key)!]!;
  });
  return { ...verdict, cases };
}
